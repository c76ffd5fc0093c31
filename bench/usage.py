"""Owns what processes use: CPU time and memory, by what they are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it publishes no types

from agentflow.cli.dev.attached import __spec__ as _attached
from agentflow.local import status

Names = Mapping[int, str]

# Of psutil's: a process's own, in user and system mode, and its ended children's.
_TIMES = 4


class Meter:
    """Counts the CPU seconds of some processes from the moment it is made. One that comes later counts as a whole."""

    def __init__(self, processes: Callable[[], Names]) -> None:
        self._processes = processes
        self._before = _cpu_seconds(processes())

    def by_name(self) -> dict[str, float]:
        """Return the CPU seconds used so far, by the processes' names."""
        return {
            name: seconds - self._before.get(name, 0.0) for name, seconds in _cpu_seconds(self._processes()).items()
        }


def own_and(names: Names) -> dict[int, str]:
    """Return processes with this one among them, as the client."""
    return {**names, os.getpid(): "client"}


def servers(data_dir: Path) -> dict[int, str]:
    """Return the embedded servers' processes below a data directory, by pid; their supervisors count with them."""
    found = status(data_dir)
    both = {"Postgres": found.postgres if found else None, "Valkey": found.valkey if found else None}
    roots = {server.supervisor_pid: name for name, server in both.items() if server}
    return {pid: name for root, name in roots.items() for pid in _tree(root)}


def family(pid: int, own_name: str) -> dict[int, str]:
    """Return a process and all below it, by pid; a program that was started by agentflow goes by its command line."""
    names = {pid: own_name}
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            names |= dict.fromkeys(_tree(child.pid), _name_of(child) or own_name)
    return names


def memory_mb(pids: Iterable[int]) -> dict[int, float]:
    """Return each process's share of memory in MB: PSS, or what is its alone where the kernel tells no PSS."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            info = psutil.Process(pid).memory_full_info()
            found[pid] = float(getattr(info, "pss", info.uss)) / 1e6
    return found


def _cpu_seconds(names: Names) -> dict[str, float]:
    # With what a process's ended children used: a connection's process is gone when the count is taken.
    used: dict[str, float] = {}
    for pid, name in names.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            used[name] = used.get(name, 0.0) + sum(times[:_TIMES])
    return used


def _tree(pid: int) -> list[int]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def _name_of(process: psutil.Process) -> str | None:
    words = process.cmdline()
    if _attached.name not in words:
        return None
    module, *arguments = words[words.index(_attached.name) + 1 :]
    return " ".join(takewhile(lambda word: not word.startswith("-"), arguments)) or str(module)
