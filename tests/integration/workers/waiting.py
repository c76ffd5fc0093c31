"""Owns waiting for a condition with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.05


def until(ask: Callable[[], T], what: str, *, timeout_s: float = 20.0, holds: Callable[[T], object] = bool) -> T:
    """Ask until the answer holds and return it; raise TimeoutError with the last answer at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not holds(answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s; the last answer was {answer!r}")
        threading.Event().wait(_POLL_S)
    return answer
