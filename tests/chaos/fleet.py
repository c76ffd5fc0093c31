"""Owns the fleet: real workers and beat, each in a seat that is taken again when its process is gone."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench import processes
from bench.processes import Process

SEATS: Mapping[str, tuple[str, ...]] = {
    "default-1": ("worker", "default"),
    "default-2": ("worker", "default"),
    "models": ("worker", "models"),
    "quarantine": ("worker", "quarantine"),
    "relay": ("worker", "relay"),
    "beat": ("beat",),
}
WORKERS = tuple(seat for seat, program in SEATS.items() if program[0] == "worker")
RELAY, BEAT = "relay", "beat"
TOOL_WORKERS = tuple(seat for seat in WORKERS if seat != RELAY)
PREFORK = ("default-1", "default-2", "quarantine")


class Fleet:
    """Processes by seat. A process's own folder below `folder` holds its log."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._seated: dict[str, Process] = {}
        # Not reaped before the end: until then a number stands for its group, in which children may live on.
        self._gone: list[Process] = []
        self.leaving: list[Process] = []

    def seat(self, name: str) -> int:
        """Start a process in a seat, whoever sat there before, and return its number."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        own = {"AGENTFLOW_DATA_DIR": str(folder)}
        self._seated[name] = processes.start(*SEATS[name], folder=folder, environment={**self._environment, **own})
        return self._seated[name].pid

    def kill(self, name: str) -> None:
        """Kill the main process of a seat with SIGKILL; its children are left to themselves."""
        fallen = self._seated[name]
        self._gone.append(fallen)
        fallen.send_signal(signal.SIGKILL)

    def replace(self, name: str) -> int:
        """Start another process in a seat and return the number of the one that sat there: it is to be asked to end."""
        leaving = self._seated[name]
        self.leaving.append(leaving)
        self.seat(name)
        return leaving.pid

    def pid(self, name: str) -> int:
        """Return the main process of a seat."""
        return self._seated[name].pid

    def pids(self) -> dict[int, str]:
        """Return the main processes by number, those that are leaving too."""
        return {process.pid: name for name, process in self._seated.items()}

    def children(self, name: str) -> list[int]:
        """Return the numbers of a seat's pool processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return sorted(child.pid for child in psutil.Process(self.pid(name)).children())
        return []

    def lives(self, name: str) -> bool:
        """True where the seat's main process runs."""
        return is_alive(self._seated[name].pid)

    def revive(self) -> list[str]:
        """Thaw everything, seat those again whose process is gone, and return their seats."""
        for name in self._seated:
            for pid in [self.pid(name), *self.children(name)]:
                send(pid, signal.SIGCONT)
        missing = [name for name in SEATS if not self.lives(name)]
        for name in missing:
            self._gone.append(self._seated[name])
            self.seat(name)
        return missing

    def lingering(self) -> list[int]:
        """Return those that were asked to end and have not."""
        return [process.pid for process in self.leaving if is_alive(process.pid)]

    def logs(self) -> Iterator[Path]:
        """Yield what the processes have said."""
        yield from self._folder.glob("*/log")

    def end(self) -> None:
        """End every process that was ever started, and what is left of its group."""
        for pid in [process.pid for process in self._seated.values()]:
            send(pid, signal.SIGCONT)
        processes.end(*self._seated.values(), *self.leaving, *dict.fromkeys(self._gone))


def send(pid: int, which: signal.Signals) -> bool:
    """Send a signal to one process; False where it is gone."""
    try:
        psutil.Process(pid).send_signal(which)
    except psutil.NoSuchProcess:
        return False
    return True


def is_alive(pid: int) -> bool:
    """True for a process that has not died; one that nobody has reaped is dead."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
