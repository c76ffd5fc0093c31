"""Owns waiting for a condition with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL_S = 0.2


def wait_until(holds: Callable[[], bool], *, timeout_s: float, otherwise: Callable[[], str]) -> None:
    """Return once the condition holds; raise TimeoutError with what `otherwise` says of the state at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {otherwise()}")
        threading.Event().wait(POLL_S)
