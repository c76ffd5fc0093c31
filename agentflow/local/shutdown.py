"""Owns how a supervisor hears that it shall stop, and how its server is made to: more firmly each time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import Popen
from types import FrameType

from agentflow.local.locks import block_on_lock

_PATIENCE_S = 8.0
_CHORE_S = 60.0


class Shutdown:
    """A request that comes as SIGTERM: from outside, or from the thread that sees the last user go."""

    def __init__(self, stop_signals: Sequence[signal.Signals], chore: Callable[[], None]) -> None:
        self._requested = False
        self._signals_left: Iterator[signal.Signals] = iter(stop_signals)
        self._chore = chore
        self._process: Popen[bytes] | None = None

    def is_requested(self) -> bool:
        """Whether to come to an end."""
        return self._requested

    def listen(self, users_lock: Path) -> None:
        """Take over the process's signals and watch for the last user to go. The chore runs now and then until then."""
        for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            # A handler and not SIG_IGN, which the server would inherit.
            signal.signal(ignored, lambda _signal, _frame: None)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.setitimer(signal.ITIMER_REAL, _CHORE_S, _CHORE_S)
        threading.Thread(target=_request_without_users, args=[users_lock], daemon=True).start()

    def will_stop(self, process: Popen[bytes] | None) -> None:
        """Name the process that a request is for; at once, if it came before."""
        self._process = process
        if self._requested:
            self._send_next_signal()

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._requested:
            self._requested = True
            self._send_next_signal()
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S, _PATIENCE_S)

    def _on_alarm(self, _signal: int, _frame: FrameType | None) -> None:
        if self._requested:
            self._send_next_signal()
        else:
            self._chore()

    def _send_next_signal(self) -> None:
        if self._process:
            self._process.send_signal(next(self._signals_left, signal.SIGKILL))


def _request_without_users(users_lock: Path) -> None:
    # Never released: until this process is gone, newcomers wait, and then start afresh.
    block_on_lock(users_lock)
    os.kill(os.getpid(), signal.SIGTERM)
