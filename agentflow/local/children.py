"""Owns the processes that a supervisor starts: they hold the server's lock and die with the supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agentflow.local import watchdog
from agentflow.local.identity import Identity
from agentflow.local.locks import FileLock

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Children:
    """Starts a server's programs, with their output in its log."""

    def __init__(self, log: Path, lock: FileLock) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = lock
        self._watchdogs: list[subprocess.Popen[bytes]] = []

    def spawn(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        identity: Identity,
        death_signal: int = signal.SIGKILL,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a program that gets `death_signal` when this process is gone.

        For the main thread alone: what the kernel watches is the thread that started the program.
        """
        parent = os.getpid()

        def enter() -> None:
            identity.enter()
            # After the identity: the kernel forgets it when credentials change.
            _die_with(parent, death_signal)

        process = subprocess.Popen(  # noqa: S603 - our own programs; the other thread waits inside the kernel
            command,
            cwd=cwd,
            stdin=stdin,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[self._lock.descriptor],
            preexec_fn=enter,  # noqa: PLW1509 - the other thread waits inside the kernel
        )
        if sys.platform != "linux":
            self._watchdogs.append(watchdog.watch(process.pid, death_signal))
        return process

    def run(self, command: Sequence[str], *, cwd: Path, identity: Identity, text: str = "", timeout_s: float) -> bool:
        """Run a program to its end, with the text as its input, and answer whether it succeeded."""
        process = self.spawn(command, cwd=cwd, identity=identity, stdin=subprocess.PIPE)
        try:
            process.communicate(text.encode(), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        self.forget()
        return process.returncode == 0

    def forget(self) -> None:
        """Dismiss the watchdogs of children that were reaped."""
        while self._watchdogs:
            watchdog.dismiss(self._watchdogs.pop())


def _die_with(parent: int, death_signal: int) -> None:
    if sys.platform != "linux":
        return
    _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
