"""Measures the sweeper after the loss of all hints, and the relay after an outage of what it delivers to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Broken, Figure
from bench.loads.copying import Copier, keep
from bench.loads.queries import Queries, querying
from bench.loads.relays import PER_RUN, delivered_after_s
from bench.loads.sweeping import Sweeping, sweeping
from bench.stack import Stack
from bench.waiting import until

STEPS, MESSAGES = 10_000, 5_000

_QUEUE = "tool.wait_for_a_time"
_PATIENCE_S = 300.0
# As if each had been hinted an hour ago, and nothing had come of it.
_LOSE = """
update agent_steps set next_attempt_at = null, waiting_reason = null, hints = 0,
    hinted_at = clock_timestamp() - interval '1 hour'
where status = 'pending'
"""
_UNHINTED = "select count(*) from agent_steps where status = 'pending' and hinted_at < %(since)s"
_PARKED = "select count(*) from agent_steps where run_id = %(id)s and waiting_reason like 'retry%%'"
_PLAN = "vacuum analyze agent_runs, agent_steps"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield how long it takes until all are hinted, and delivered; and what a single sweep takes."""
    with Stack(folder, {"AGENTFLOW_AGENTS": "bench.loads.agents"}) as stack, querying(stack.database_url) as queries:
        keep(queries, [parked_run(stack, queries)])
        yield Figure(f"relay: {MESSAGES:,} messages due at once, all delivered", _relay(stack, queries), "s")
    with sweeping(folder / "data") as alone, querying(alone.database_url) as queries:
        Copier(alone.database_url, STEPS).copy()
        yield from hint_all(alone, queries, _LOSE, "lost hints")


def parked_run(stack: Stack, queries: Queries) -> str:
    """Return a run that waits for tomorrow."""
    run_id = stack.client.submit("for_a_time", {"number": 1}).run_id
    until(lambda: queries.value(_PARKED, {"id": run_id}), "run that waits for a time")
    return run_id


def hint_all(alone: Sweeping, queries: Queries, make_due: str, name: str, *, goal: float | None = None) -> Iterator[Figure]:
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
    yield Figure("  steps marked and published, by sweeps without a pause", due / sum(taken_s), "/s")
    if goal is not None:
        yield Figure("  seconds per step (the goal is so many per second)", sum(taken_s) / due, "s", 1 / goal)


def _relay(stack: Stack, queries: Queries) -> float:
    run_ids = [stack.client.submit("posting", {"number": number}).run_id for number in range(MESSAGES // PER_RUN)]
    return delivered_after_s(stack, queries, run_ids)
