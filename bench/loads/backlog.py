"""Measures the sweeper after the loss of all hints, and the relay after an outage of what it delivers to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.loads.copying import Copier, keep
from bench.loads.hinting import hint_all, parked_run
from bench.loads.queries import Queries, querying
from bench.loads.relays import PER_RUN, delivered_after_s
from bench.loads.sweeping import sweeping
from bench.stack import Stack

STEPS, MESSAGES = 10_000, 5_000

# As if each had been hinted an hour ago, and nothing had come of it.
_LOSE = """
update agent_steps set next_attempt_at = null, waiting_reason = null, hints = 0,
    hinted_at = clock_timestamp() - interval '1 hour'
where status = 'pending'
"""


def measure(folder: Path) -> Iterator[Figure]:
    """Yield how long it takes until all are hinted, and delivered; and what a single sweep takes."""
    with Stack(folder, {"AGENTFLOW_AGENTS": "bench.loads.agents"}) as stack, querying(stack.database_url) as queries:
        keep(queries, [parked_run(stack, queries)])
        yield Figure(f"relay: {MESSAGES:,} messages due at once, all delivered", _relay(stack, queries), "s")
    with sweeping(folder / "data") as alone, querying(alone.database_url) as queries:
        Copier(alone.database_url, STEPS).copy()
        yield from hint_all(alone, queries, _LOSE, "lost hints")


def _relay(stack: Stack, queries: Queries) -> float:
    run_ids = [stack.client.submit("posting", {"number": number}).run_id for number in range(MESSAGES // PER_RUN)]
    return delivered_after_s(stack, queries, run_ids)
