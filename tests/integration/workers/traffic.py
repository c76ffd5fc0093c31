"""Owns the load while something else happens: a thread that goes on submitting runs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from agentflow.client.handle import RunHandle
from tests.integration.workers.stack import Stack
from tests.integration.workers.waiting import until

Inputs = Mapping[str, Callable[[int], Any]]


class Traffic:
    """Submits a run of each agent in turn, one in a period, while the `with` lasts."""

    def __init__(self, stack: Stack, inputs: Inputs, *, period_s: float = 0.25) -> None:
        self._stack = stack
        self._turns: Iterator[tuple[str, Callable[[int], Any]]] = itertools.cycle(inputs.items())
        self._period_s = period_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._submit, daemon=True)
        self.handles: list[RunHandle] = []

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.handles, "the first run")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=20)

    def of(self, agent: str) -> list[RunHandle]:
        """Return the runs of one agent."""
        return [handle for handle in list(self.handles) if handle.get().agent == agent]

    def _submit(self) -> None:
        for number, (agent, made) in enumerate(self._turns):
            self.handles.append(self._stack.client.submit(agent, made(number)))
            if self._over.wait(self._period_s):
                return
