"""Owns waiting for a condition with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_POLL_S = 0.05


def until(holds: Callable[[], object], what: str, *, timeout_s: float = 60.0, poll_s: float = _POLL_S) -> None:
    """Return once the condition holds; raise TimeoutError at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout_s:g} s")
        threading.Event().wait(poll_s)


def rest(seconds: float) -> None:
    """Let time pass in which nothing is asked of anybody."""
    threading.Event().wait(seconds)
