"""Owns a load without an end: many runs in flight for as long as somebody looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.agents import line
from bench.stack import Stack

_WARM_UP, _IN_FLIGHT = 40, 100
_PATIENCE_S = 120.0


@contextmanager
def kept_busy(stack: Stack) -> Iterator[None]:
    """Keep many runs in flight for as long as the block takes."""
    over = threading.Event()
    _take_runs(stack, _WARM_UP)

    def keep_busy() -> None:
        while not over.is_set():
            _take_runs(stack, _IN_FLIGHT)

    # Two, so that one's runs are under way while the other one waits for its last.
    threads = [threading.Thread(target=keep_busy, name="load", daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(_PATIENCE_S)


def _take_runs(stack: Stack, runs: int) -> None:
    for handle in [stack.client.submit(line.name, {"number": number}) for number in range(runs)]:
        handle.wait(_PATIENCE_S)
