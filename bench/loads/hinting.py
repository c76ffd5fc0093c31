"""Owns steps that become due all at once, and how a sweeper alone comes along with hinting them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bench.figures import Broken, Figure
from bench.loads.queries import Queries
from bench.loads.sweeping import Sweeping
from bench.stack import Stack
from bench.waiting import until

_QUEUE = "tool.wait_for_a_time"
_PATIENCE_S = 300.0
_UNHINTED = "select count(*) from agent_steps where status = 'pending' and hinted_at < %(since)s"
_PARKED = "select count(*) from agent_steps where run_id = %(id)s and waiting_reason like 'retry%%'"
_PLAN = "vacuum analyze agent_runs, agent_steps"


def parked_run(stack: Stack, queries: Queries) -> str:
    """Return a run that waits for tomorrow."""
    run_id = stack.client.submit("for_a_time", {"number": 1}).run_id
    until(lambda: queries.value(_PARKED, {"id": run_id}), "run that waits for a time")
    return run_id


def hint_all(
    alone: Sweeping, queries: Queries, make_due: str, name: str, *, goal: float | None = None
) -> Iterator[Figure]:
    """Make steps due, sweep without a pause until all are hinted, and yield what that took; `goal` is per second."""
    queries.run(_PLAN)
    alone.empty(_QUEUE)
    since = queries.value("select clock_timestamp()")
    due, began = queries.run(make_due), time.monotonic()
    taken_s: list[float] = []
    while alone.queued(_QUEUE) < due:
        if time.monotonic() - began > _PATIENCE_S:
            raise Broken(f"{alone.queued(_QUEUE):,} of {due:,} steps are hinted after {_PATIENCE_S:g} s")
        taken_s.append(alone.sweep_s())
    if left := int(queries.value(_UNHINTED, {"since": since})):
        raise Broken(f"{left:,} steps are not marked as hinted")
    yield Figure(f"{name}: {due:,} steps, sweeps until all are hinted", len(taken_s), "")
    yield Figure("  one sweep: median", statistics.median(taken_s) * 1000, "ms")
    yield Figure("  one sweep: max", max(taken_s) * 1000, "ms")
    yield Figure("  steps marked and published, by sweeps without a pause", due / sum(taken_s), "/s", above=goal)
