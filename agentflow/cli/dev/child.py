"""One child of `agentflow dev`: started, asked to end, killed when it does not; its lines are handed on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agentflow.cli.dev.attached import __spec__ as _attached

_GRACE_S = 12.0


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs: a module, its arguments, and what its environment has beside ours, asked at each start."""

    name: str
    module: str
    arguments: Sequence[str]
    environment: Callable[[], Mapping[str, str]]


class Child:
    """One process at a time of one program. `ended` is called, on another thread, when a process of it is gone."""

    def __init__(self, program: Program, hear: Callable[[str, str], None], ended: Callable[[Child, int], None]) -> None:
        self.name = program.name
        self._program = program
        self._hear = hear
        self._ended = ended
        self._process: subprocess.Popen[str] | None = None
        self._killer: threading.Timer | None = None
        self.started_at = 0.0
        self.asked_to_end = False

    @property
    def pid(self) -> int | None:
        """The process's number, None where there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a process."""
        self.asked_to_end = False
        self.started_at = time.monotonic()
        command = [sys.executable, "-m", _attached.name, self._program.module, *self._program.arguments]
        # A session of its own: Ctrl-C on the terminal is for dev, which ends its children in order.
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            env={**os.environ, **self._program.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._process = process
        threading.Thread(target=self._relay, args=[process], daemon=True).start()
        threading.Thread(target=self._await, args=[process], daemon=True).start()

    def ask_to_end(self) -> None:
        """Let it finish what it does, and kill it when that takes too long."""
        if self._process is None or self.asked_to_end:
            return
        self.asked_to_end = True
        self._signal(signal.SIGTERM)
        self._killer = threading.Timer(_GRACE_S, self.kill)
        self._killer.daemon = True
        self._killer.start()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        self.asked_to_end = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.strip():
                    self._hear(self.name, line.rstrip("\n"))

    def _await(self, process: subprocess.Popen[str]) -> None:
        code = process.wait()
        if self._killer is not None:
            self._killer.cancel()
        # What it started must not outlive it: the pool's processes of a worker that was killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdin is not None
        process.stdin.close()
        self._process = None
        self._ended(self, code)
