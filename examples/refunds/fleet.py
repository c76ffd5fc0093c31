"""Owns the demo's workers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from agentflow import Client
from agentflow.store import workers
from examples.refunds.agent import refunds
from examples.refunds.checkout import checkout
from examples.refunds.leash import Leash, Process
from examples.refunds.servers import DemoFailed, Servers

POOLS = ("default", "models", "mail")
READY_S = 60.0

_QUEUES = refunds.queues | checkout.queues | {"outbox.email"}

_STOP_S = 5.0
_ALIVE_S = 7.0
_POLL_S = 0.05


class Fleet:
    """One worker process per pool, until the end of the `with` block."""

    def __init__(self, servers: Servers, leash: Leash) -> None:
        self._servers = servers
        self._leash = leash
        self._workers: dict[str, Process] = {}

    def start(self, pool: str) -> int:
        """Start a pool's worker and return its pid."""
        command = [sys.executable, "-m", "agentflow", "worker", pool]
        self._workers[pool] = self._leash.start(command, environment=self._servers.environment, log=self._log(pool))
        return self._workers[pool].pid

    def kill(self, pool: str) -> int:
        """Kill a pool's worker with SIGKILL: it can finish nothing and tell nobody. Return its pid."""
        worker = self._workers[pool]
        worker.kill()
        worker.wait()
        return worker.pid

    def wait_until_ready(self, client: Client) -> None:
        """Return once every queue of the agents and of their e-mails is served; raise DemoFailed."""
        deadline = time.monotonic() + READY_S
        while not _served(client) >= _QUEUES:
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"the workers were not ready within {READY_S:g} s: see {self._servers.folder}")
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise DemoFailed for a worker that ended by itself."""
        for pool, worker in self._workers.items():
            if worker.poll() is not None:
                log = self._log(pool).read_text(encoding="utf-8")
                raise DemoFailed(f"the worker of {pool!r} ended with {worker.returncode}; its log says: {log[-2000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.terminate()
        for worker in self._workers.values():
            # Who takes longer than this is killed with all the rest.
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(_STOP_S)

    def _log(self, pool: str) -> Path:
        return self._servers.folder / f"worker-{pool}.log"


def _served(client: Client) -> frozenset[str]:
    return frozenset(client.database.atomically(lambda tx: workers.served_queues(tx, _ALIVE_S)))
