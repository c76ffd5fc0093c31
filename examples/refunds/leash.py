"""Owns the end of the demo's processes: all are in one group, which a keeper kills when the demo is gone.

The keeper waits at a pipe that only the demo holds open: the kernel closes it however the demo dies. A process joins
the group before its program begins, so that none is ever outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

Process = subprocess.Popen[str]


class Leash:
    """Starts processes, and ends them with the `with` block or with this process."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._processes: list[Process] = []

    def start(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path, announces: bool = False
    ) -> Process:
        """Start a program in the log's folder. The log takes what it says, its stdout aside if it `announces`."""
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                arguments,
                # Not the caller's folder: a `.env` there is about the caller's own services.
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if announces else output,
                stderr=output,
                text=True,
                process_group=self._keeper.pid,
            )
        self._processes.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()
        for process in self._processes:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def main() -> None:
    """Wait for the end of the demo, then kill the group, this process last."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
