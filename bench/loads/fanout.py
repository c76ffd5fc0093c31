"""Measures how long a hundred tool calls at once take to be joined, beside ten: a workflow's, and a model's."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Broken, Figure
from bench.loads.agents import WIDTHS
from bench.loads.queries import Queries, querying
from bench.stack import Stack

TIMES = 5

_PATIENCE_S = 300.0
_WARM_UP = 2
# The decision inserts all parts at once; the join is the step after them.
_TAKEN = """
select extract(epoch from j.created_at - p.decided_at)::float as to_join_s,
    extract(epoch from a.started_at - p.decided_at)::float as to_claim_s, p.parts
from (
    select run_id, min(created_at) as decided_at, count(*) as parts from agent_steps
    where run_id = %(id)s and tool_name = 'fetch_part' group by run_id
) p
join lateral (
    select * from agent_steps s
    where s.run_id = p.run_id and s.tool_name <> 'fetch_part' and s.created_at > p.decided_at
    order by s.step_index limit 1
) j on true
join attempts a on a.run_id = j.run_id and a.step_index = j.step_index and a.attempt = 1
"""


def measure(folder: Path) -> Iterator[Figure]:
    """Yield for each kind and width the times from the decision to the join, one run at a time."""
    with Stack(folder, {"AGENTFLOW_AGENTS": "bench.loads.agents"}) as stack, querying(stack.database_url) as queries:
        for kind in ("workflow", "agent"):
            for width in WIDTHS:
                agent, given = ("spreading", {"width": width}) if kind == "workflow" else (f"gathering_{width}", "All?")
                yield from _measure_width(stack, queries, agent, given, f"{kind}, {width} calls at once", width)


def _measure_width(stack: Stack, queries: Queries, agent: str, given: Any, name: str, width: int) -> Iterator[Figure]:
    taken = [_time_one(stack, queries, agent, given, width) for _ in range(_WARM_UP + TIMES)][_WARM_UP:]
    to_join_s = statistics.median(join for join, _ in taken)
    yield Figure(f"{name}: from the decision to the join's step", to_join_s, "s")
    yield Figure("  to the join's claim", statistics.median(claim for _, claim in taken), "s")
    yield Figure("  for each call", to_join_s / width * 1000, "ms")


def _time_one(stack: Stack, queries: Queries, agent: str, given: Any, width: int) -> tuple[float, float]:
    run = stack.client.submit(agent, given).wait(_PATIENCE_S)
    if run.status != "done":
        raise Broken(f"a run of {agent!r} ended {run.status}: {run.error}")
    [taken] = queries.rows(_TAKEN, {"id": run.run_id})
    if taken["parts"] != width:
        raise Broken(f"a run of {agent!r} asked for {taken['parts']} parts, not {width}")
    return taken["to_join_s"], taken["to_claim_s"]
