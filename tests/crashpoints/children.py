"""Processes forked from a worker that has everything imported and nothing open: a case costs no more than its work."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.005


class Stuck(AssertionError):
    """A child came to no end in its time."""


@dataclass
class Child:
    """A forked process. `fate` is `killed`, `frozen` or `ended`, and None while it runs."""

    pid: int
    answer_file: Path
    fate: str | None = None

    def look(self) -> str | None:
        """Return its fate so far; one that was frozen may still be killed, by its own timer say."""
        if self.fate in {"killed", "ended"}:
            return self.fate
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid:
            self.fate = _fate_of(status)
        return self.fate

    def wait(self, *fates: str, timeout_s: float = 20.0) -> str:
        """Wait until it has come to one of these fates."""
        end = time.monotonic() + timeout_s
        pause = threading.Event()
        while (fate := self.look()) not in fates:
            if fate in {"killed", "ended"} or time.monotonic() > end:
                raise Stuck(f"process {self.pid} is {fate or 'running'}, and not {' or '.join(fates)}: {self.output()}")
            pause.wait(_LOOK_S)
        return fate

    @property
    def is_alive(self) -> bool:
        """Whether it may still do something, now or once it is thawed."""
        return self.look() not in {"killed", "ended"}

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and wait for that."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
            self.wait("killed", "ended")

    def answer(self) -> Any:
        """Return what its work gave; None where it was ended before."""
        return json.loads(self.answer_file.read_text()) if self.answer_file.exists() else None

    def output(self) -> str:
        """Return the end of what it printed."""
        return self.answer_file.with_suffix(".log").read_text(errors="replace")[-3000:]


def fork(work: Callable[[], Any], answer_file: Path) -> Child:
    """Fork a process that does `work`, writes what it gave, and ends without anything of its parent's being closed."""
    answer_file.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return Child(pid, answer_file)
    code = 1
    try:
        keep_output(answer_file.with_suffix(".log"))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _write(answer_file, work())
        code = 0
    except BaseException:  # noqa: BLE001 - a child that lived on would be a second parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def keep_output(log: Path) -> None:
    """From now on write what this process prints into a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _write(path: Path, answer: Any) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(answer))
    unfinished.replace(path)


def _fate_of(status: int) -> str | None:
    if os.WIFSTOPPED(status):
        return "frozen"
    if os.WIFCONTINUED(status):
        return None
    return "killed" if os.WIFSIGNALED(status) else "ended"
