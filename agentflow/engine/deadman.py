"""The dead man's timer: a kernel timer that kills this process unless it is disarmed in time.

A process that was frozen past its lease is killed before its next instruction, so that it can't do late what another
has done since; looking at the clock before a call would not help. A virtual machine that is paused as a whole is not
covered: its kernel's timers stand still with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Protocol

# The timer must have killed the process before the lease is over on the database's clock.
TIMER_MARGIN_S = 0.5


class Timer(Protocol):
    """Something that ends this process in time."""

    def arm(self, at: float) -> None:
        """Kill this process at a time of `boottime`."""
        ...

    def disarm(self) -> None:
        """Let this process live on."""
        ...


def boottime() -> float:
    """Return seconds on a clock that goes on while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class NoTimer:
    """For processes that other steps share: nothing may kill them."""

    def arm(self, at: float) -> None:
        """Do nothing."""

    def disarm(self) -> None:
        """Do nothing."""


class DeadMansTimer:
    """SIGKILL by a POSIX timer on Linux; elsewhere SIGALRM, whose default action ends the process as surely."""

    def __init__(self) -> None:
        self._timer = KernelTimer() if sys.platform == "linux" else None

    def arm(self, at: float) -> None:
        """Kill this process at a time of `boottime`; at once where that has passed."""
        if self._timer is not None:
            self._timer.set(at)
        else:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, max(at - boottime(), 0.001))

    def disarm(self) -> None:
        """Let this process live on."""
        if self._timer is not None:
            self._timer.set(0.0)
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.0)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class _Sigevent(ctypes.Structure):
    _fields_ = (
        ("sigev_value", ctypes.c_void_p),
        ("sigev_signo", ctypes.c_int),
        ("sigev_notify", ctypes.c_int),
        ("padding", ctypes.c_char * 48),
    )


class KernelTimer:
    """A timer of timer_create(2) on CLOCK_BOOTTIME that sends SIGKILL. Timers are not inherited over a fork.

    Its time is absolute: a process that freezes between reading the clock and setting the timer gains nothing.
    """

    _CLOCK_BOOTTIME = 7
    _TIMER_ABSTIME = 1
    _SIGEV_SIGNAL = 0

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._settime = self._libc.timer_settime
        # Set for each call, several times: made once. A timer is one process's, which does one step at a time.
        self._value = _Itimerspec(_Timespec(0, 0), _Timespec(0, 0))
        self._by_reference = ctypes.byref(self._value)
        self._timer_id: ctypes.c_void_p | None = None
        self._pid = 0

    def set(self, at: float) -> None:
        """Fire at a time of CLOCK_BOOTTIME; zero disarms."""
        whole = int(at)
        first = self._value.it_value
        first.tv_sec, first.tv_nsec = whole, int((at - whole) * 1e9)
        if self._settime(self._of_this_process(), self._TIMER_ABSTIME, self._by_reference, None) != 0:
            raise OSError(ctypes.get_errno(), "timer_settime")

    def _of_this_process(self) -> ctypes.c_void_p:
        if self._timer_id is None or self._pid != os.getpid():
            self._timer_id, self._pid = self._create(), os.getpid()
        return self._timer_id

    def _create(self) -> ctypes.c_void_p:
        event = _Sigevent(None, signal.SIGKILL, self._SIGEV_SIGNAL, b"")
        timer_id = ctypes.c_void_p()
        if self._libc.timer_create(self._CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(timer_id)) != 0:
            raise OSError(ctypes.get_errno(), "timer_create")
        return timer_id
