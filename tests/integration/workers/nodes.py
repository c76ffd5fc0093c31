"""Owns the workers as pytest-celery's nodes, and what is known of their processes."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import psutil  # type: ignore[import-untyped]  # it publishes no types
from pytest_celery import CeleryTestWorker  # type: ignore[import-untyped]

from tests.integration.workers.containers import WorkerContainer


class WorkerNode(CeleryTestWorker):  # type: ignore[misc]
    """A worker of one pool."""

    def __init__(self, container: WorkerContainer, pool: str) -> None:
        super().__init__(container, None)
        self._container: WorkerContainer = container
        self.pool = pool

    @property
    def container(self) -> WorkerContainer:
        """The process."""
        return self._container

    @property
    def worker_name(self) -> str:
        """The pool's name: each pool's worker is named after it."""
        return self.pool

    def hostname(self) -> str:
        """The node's name in this test."""
        return self.container.name

    @property
    def is_running(self) -> bool:
        """True while its main process lives."""
        return self.container.status == "running"

    def children(self) -> list[int]:
        """Return the processes of its pool."""
        return [each["pid"] for each in self.get_running_processes_info() if each["pid"] != self.container.pid]

    def get_running_processes_info(
        self, columns: list[str] | None = None, filters: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return `columns` of its processes, those that `filters` fit: pid, ppid, name, status, what psutil knows."""
        wanted = columns or ["pid", "ppid", "name", "status"]
        rows = [each.as_dict(attrs=[*wanted, *(filters or ())]) for each in self._processes()]
        fitting = [row for row in rows if all(row[name] == value for name, value in (filters or {}).items())]
        return [{name: row[name] for name in wanted} for row in fitting]

    def send(self, which: signal.Signals) -> None:
        """Send a signal to the main process and its children alike."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(which)

    def _processes(self) -> list[psutil.Process]:
        main = psutil.Process(self.container.pid)
        return [main, *main.children()]


def lives(pid: int) -> bool:
    """True for a process that has not died, be it frozen; a dead one whose parent has not noticed is dead."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
