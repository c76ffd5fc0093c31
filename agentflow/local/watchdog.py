"""Owns the death of a server with its supervisor where the kernel has no parent-death signal: a waiting process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

_DISMISSED = b"."


def watch(pid: int, death_signal: int) -> subprocess.Popen[bytes]:
    """Start a watchdog that signals `pid` when this process is gone, however it went."""
    command = [sys.executable, "-I", "-S", __file__, str(pid), str(int(death_signal))]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, stdin=pipe, stdout=nothing, start_new_session=True)  # noqa: S603 - our own program


def dismiss(process: subprocess.Popen[bytes]) -> None:
    """End a watchdog whose server is gone, without the signal: the pid may be somebody else's by now."""
    with contextlib.suppress(BrokenPipeError):
        process.communicate(_DISMISSED)


def main() -> None:
    """Wait for the end of the pipe that only the supervisor holds open."""
    pid, death_signal = int(sys.argv[1]), int(sys.argv[2])
    if os.read(0, 1) != _DISMISSED:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, death_signal)


if __name__ == "__main__":
    main()
