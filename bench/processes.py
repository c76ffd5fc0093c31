"""Owns the processes that a benchmark starts: each ends with its `with` block, or with this process however it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentflow.cli.dev.attached import __spec__ as _attached

ROOT = Path(__file__).resolve().parents[1]

_ELSEWHERE = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_LOOPBACK = "127.0.0.1,localhost"
_STOP_S = 40.0

Process = subprocess.Popen[bytes]


def forget_own_services() -> None:
    """Take out of the environment what would lead to the caller's own database, broker or model."""
    for name in list(os.environ):
        if name.startswith("AGENTFLOW_") or name in _ELSEWHERE:
            del os.environ[name]
    # The scripted model is on this machine: no proxy may stand between.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = _LOOPBACK


def start(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, module: str = "agentflow"
) -> Process:
    """Start `agentflow ARGUMENTS`, or another module, in a folder, whose `log` takes what it says."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", _attached.name, module, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def read_tail(folder: Path) -> str:
    """Return the last that the folder's processes said."""
    return (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]


def end(*processes: Process) -> None:
    """Ask processes to end, wait for them, and end what is left of their groups."""
    for process in processes:
        process.terminate()
    for process in processes:
        _await_end(process)


def _await_end(process: Process) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


@contextmanager
def running(*arguments: str, folder: Path) -> Iterator[Process]:
    """Run `agentflow ARGUMENTS` in a folder for as long as the block takes."""
    process = start(*arguments, folder=folder)
    try:
        yield process
    finally:
        end(process)
