"""Owns a process's hold on the embedded servers: they run for as long as anyone holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentflow.local.errors import LocalServicesError, ServerFailed
from agentflow.local.folder import ServerFolder, usable
from agentflow.local.locks import FileLock, wait_for_lock
from agentflow.local.starter import ensure_running

# Longer than the most patient shutdown.
_SHUTDOWN_S = 60.0


@dataclass(frozen=True)
class _Hold:
    url: str
    lock: FileLock


class Services:
    """The embedded servers in use by this process, until `close()` or its end. A fork's child holds them too."""

    def __init__(self, holds: dict[str, _Hold]) -> None:
        self._holds = holds

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the embedded PostgreSQL."""
        return self._url("postgres")

    @property
    def redis_url(self) -> str:
        """The URL of the embedded Valkey."""
        return self._url("valkey")

    def close(self) -> None:
        """Let go; a server that nobody else holds ends."""
        while self._holds:
            self._holds.popitem()[1].lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _url(self, kind: str) -> str:
        if kind not in self._holds:
            raise LocalServicesError(f"These services hold no {kind}: attach with {kind}=True, and before close()")
        return self._holds[kind].url


def attach(data_dir: Path, *, postgres: bool = True, valkey: bool = True) -> Services:
    """Use the embedded servers of the data directory, and start what does not run yet.

    May be called again at any time, also by a process that holds the servers already: it then finds them, or starts
    them again with the same data if they were killed. Raises ServerMissing, ServerFailed.
    """
    kinds = [kind for kind, wanted in (("valkey", valkey), ("postgres", postgres)) if wanted]
    holds: dict[str, _Hold] = {}
    services = Services(holds)
    try:
        with usable(data_dir):
            holds.update((kind, _hold(ServerFolder.of(data_dir, kind), kind)) for kind in kinds)
    except BaseException:
        services.close()
        raise
    return services


def _hold(folder: ServerFolder, kind: str) -> _Hold:
    folder.create()
    lock = wait_for_lock(folder.users_lock, timeout_s=_SHUTDOWN_S, shared=True)
    if lock is None:
        raise ServerFailed(f"The server in {str(folder.path)!r} is still shutting down: see {str(folder.server_log)!r}")
    try:
        return _Hold(ensure_running(kind, folder).url, lock)
    except BaseException:
        lock.release()
        raise
