"""Owns processes that are ended with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
STOP_S = 15.0

Process = subprocess.Popen[str]


def start(arguments: Sequence[str], environment: Mapping[str, str], log: Path, *, announces: bool = False) -> Process:
    """Start a program in a process group of its own; the log takes what it says, stdout only if nobody listens."""
    with log.open("a", encoding="utf-8") as errors:
        return subprocess.Popen(
            arguments,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if announces else errors,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def stop(process: Process) -> None:
    """Ask the process to end, and end its whole group, orphans of killed parents included."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    end_group(process)


def end_group(process: Process) -> None:
    """Kill what is left of the process's group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def served(module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run a server module that prints its URL first, and yield the URL."""
    process = start([sys.executable, "-m", module, *arguments], environment, log, announces=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"{module} did not start; its log says:\n{log.read_text(encoding='utf-8')}"
        yield url
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()
