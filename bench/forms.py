"""Owns the forms in which the common work is done, runs of five steps that do nothing, and agentflow's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentflow import Client
from bench.agents import STEPS, line
from bench.counters import Watcher
from bench.figures import Broken
from bench.stack import Stack
from bench.usage import Names
from bench.waiting import until

CONTINUED, THROUGH_BROKER, RAW_CELERY = "continued", "through the broker", "raw Celery chain"

_PATIENCE_S = 180.0
_POLL_S, _POLL_ONE_S = 0.05, 0.003
_STANDING = """
select /* bench */ count(*) filter (where finished_at is null),
    count(*) filter (where finished_at is not null and status <> 'done'), extract(epoch from max(finished_at))
from agentflow.agent_runs where run_id = any(%s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Burst:
    """Runs that were submitted at once: from the first submission to the last end, and how long submitting took."""

    runs: int
    lasted_s: float
    submitting_s: float

    @property
    def steps(self) -> int:
        """How many steps it had."""
        return self.runs * STEPS


class Form(Protocol):
    """One way of doing the common work, started and ready."""

    name: str

    @property
    def redis_url(self) -> str:
        """Where its broker is."""

    def burst(self, runs: int) -> Burst:
        """Submit runs at once and return when all have ended. Raises Broken, TimeoutError."""

    def processes(self) -> Names:
        """Return all its processes by pid, this one aside."""


class Agentflow:
    """agentflow on a whole stack. `client` is the one that submits."""

    def __init__(self, name: str, stack: Stack, watcher: Watcher) -> None:
        self.name = name
        self.stack = stack
        self.watcher = watcher
        self.client: Client = stack.client

    @property
    def redis_url(self) -> str:
        """Where its broker is."""
        return self.stack.redis_url

    def burst(self, runs: int) -> Burst:
        """Submit runs at once and return when all have ended."""
        began_at = time.time()
        run_ids = [self.client.submit(line.name, {"number": number}).run_id for number in range(runs)]
        submitted_at = time.time()
        ended_at = await_end(lambda: self._ended_at(run_ids), runs)
        return Burst(runs, ended_at - began_at, submitted_at - began_at)

    def processes(self) -> Names:
        """Return the stack's processes."""
        return self.stack.processes()

    def _ended_at(self, run_ids: Sequence[str]) -> float | None:
        unfinished, astray, ended_at = self.watcher.row(_STANDING, [list(run_ids)])
        if astray:
            raise Broken(f"{astray} of {len(run_ids)} runs did not end done")
        return None if unfinished else float(ended_at)


def await_end(ended_at: Callable[[], float | None], runs: int) -> float:
    """Return when the last run ended, as it was recorded: how often one looks does not count."""
    seen: list[float] = []

    def have_ended() -> bool:
        found = ended_at()
        seen.extend([] if found is None else [found])
        return found is not None

    until(have_ended, f"end of {runs} runs", timeout_s=_PATIENCE_S, poll_s=_POLL_ONE_S if runs == 1 else _POLL_S)
    return seen[0]
