"""Ending a call that takes too long, from outside its code: first by an exception in it, then with its process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from agentflow.engine.deadman import Timer, boottime

# What does not end at the exception (it waits in C, or swallows it) is killed with its process so much later.
KILL_AFTER_S = 2.0


class CallOverran(BaseException):
    """The call took longer than it may. Not an Exception, so that a tool's own handlers let it through."""


@contextmanager
def limited(timer: Timer, seconds: float, *, until: float) -> Iterator[None]:
    """Interrupt what runs inside after `seconds`, and kill this process where that does not end it.

    `until` is when the process must be dead in any case, on the clock of `boottime`; the timer is set to it again
    afterwards. For a process that does one step at a time, in its main thread; elsewhere clients need timeouts of
    their own.
    """
    timer.arm(min(boottime() + seconds + KILL_AFTER_S, until))
    try:
        with _alarm(seconds):
            yield
    finally:
        timer.arm(until)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    # Elsewhere SIGALRM is the dead man's timer itself.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def interrupt(_: int, __: FrameType | None) -> None:
        if running:
            raise CallOverran

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
