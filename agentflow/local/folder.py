"""Owns the names of the files of one embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentflow.local.errors import LocalServicesError


@contextmanager
def usable(data_dir: Path) -> Iterator[None]:
    """Turn what the file system refuses below the data directory into one error that says what to do."""
    try:
        yield
    except OSError as error:
        raise LocalServicesError(
            f"The data directory {str(data_dir)!r} cannot be used ({error}): make it this user's own, "
            "or set AGENTFLOW_DATA_DIR to another one"
        ) from error


class ServerFolder:
    """The folder `<data dir>/<kind>` with everything of one server: its data, locks, logs and address."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users_lock = path / "users.lock"
        self.start_lock = path / "start.lock"
        self.supervisor_lock = path / "supervisor.lock"
        self.server_lock = path / "server.lock"
        self.record = path / "server.json"
        self.address = path / "address.json"
        self.server_log = path / "server.log"
        self.supervisor_log = path / "supervisor.log"
        self.cluster = path / "cluster"

    @classmethod
    def of(cls, data_dir: Path, kind: str) -> ServerFolder:
        """Answer the folder of a kind of server, without creating it."""
        return cls(data_dir.absolute() / kind)

    def create(self) -> None:
        """Create it for this user alone: it holds the password."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
