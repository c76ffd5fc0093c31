"""Measures what is added to a step of a model and its tools beside what it waits for: 40 runs at once, two workers."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Broken, Figure, percentile
from bench.loads.agents import MODEL_S, TOOL_S, TURNS
from bench.loads.model_server import model_server
from bench.loads.queries import Queries, Row, querying
from bench.stack import Stack
from bench.usage import Meter

AGENT = "asking"
IN_FLIGHT, RUNS = 40, 600

_STEPS = 2 * TURNS + 1
_SLEPT_S = (TURNS + 1) * MODEL_S + TURNS * TOOL_S
_MEDIAN_GOAL_MS, _P99_GOAL_MS = 10.0, 40.0
_PATIENCE_S = 300.0
_LOOK_S = 0.025
# Both serve all that the runs need, so that a run may go on where it is; the third is there for what nobody sends.
_POOLS = """
[pools.default]
queues = ["coordinator", "model", "tool.look_up"]
kind = "threads"
concurrency = 24
per_tool = 24

[pools.models]
queues = ["coordinator", "model", "tool.look_up"]
kind = "threads"
concurrency = 24
per_tool = 24

[pools.quarantine]
queues = ["quarantine", "*"]
kind = "prefork"
concurrency = 1
"""
_OPEN = "select count(*) from agent_runs where agent = %(agent)s and finished_at is null"
_RUNS = """
select run_id, status, extract(epoch from finished_at - created_at)::float as took_s,
    (select count(*) from agent_steps s where s.run_id = r.run_id) as steps,
    (select sum(a.latency_ms)::float / 1000 from attempts a where a.run_id = r.run_id) as called_s
from agent_runs r where agent = %(agent)s order by created_at
"""
# From the end of the call before, or the run's submission, to the end of this call.
_GAPS = """
select extract(epoch from a.ended_at - coalesce(lag(a.ended_at) over run, r.created_at))::float as took_s, s.tool_name
from attempts a join agent_steps s using (run_id, step_index) join agent_runs r using (run_id)
where r.agent = %(agent)s window run as (partition by a.run_id order by a.step_index)
"""


def measure(folder: Path) -> Iterator[Figure]:
    """Yield what is added per step, over whole runs and over single steps, and what it costs in CPU."""
    pools = folder / "pools.toml"
    pools.write_text(_POOLS, encoding="utf-8")
    with model_server(folder, _answers(), MODEL_S) as base_url:
        told = {
            "AGENTFLOW_AGENTS": "bench.loads.agents",
            "AGENTFLOW_POOLS": str(pools),
            "AGENTFLOW_LLM_BASE_URL": base_url,
        }
        with Stack(folder, told) as stack, querying(stack.database_url) as queries:
            _drive(stack, queries, IN_FLIGHT)
            warm = len(_finished(queries))
            meter, began = Meter(stack.processes), time.monotonic()
            _drive(stack, queries, RUNS)
            used, lasted_s = meter.by_name(), time.monotonic() - began
            runs = _finished(queries)[warm:]
            yield Figure("runs in flight", IN_FLIGHT, "")
            yield Figure("steps per second", len(runs) * _STEPS / lasted_s, "/s")
            yield from _added(runs, "sleeps", [_SLEPT_S] * len(runs), _MEDIAN_GOAL_MS, _P99_GOAL_MS)
            yield from _added(runs, "calls as the workers saw them", [run["called_s"] for run in runs])
            yield from _added_to_one(queries, warm * _STEPS)
            yield Figure("CPU seconds per 1,000 steps", sum(used.values()) / (len(runs) * _STEPS) * 1000, "s")
            yield Figure("CPU, of one core", sum(used.values()) / lasted_s * 100, "%")


def _drive(stack: Stack, queries: Queries, runs: int) -> None:
    """Keep so many runs in flight; the first ones come one after the other, so that they do not march in step."""
    pause, end, submitted = threading.Event(), time.monotonic() + _PATIENCE_S, 0
    while (open_ := int(queries.value(_OPEN, {"agent": AGENT}))) or submitted < runs:
        if time.monotonic() > end:
            raise TimeoutError(f"{open_} runs are still open after {_PATIENCE_S:g} s")
        room = min(IN_FLIGHT - open_, runs - submitted, max(1, submitted))
        for _ in range(room):
            stack.client.submit(AGENT, "Where is my order 4421?")
            submitted += 1
            if submitted < IN_FLIGHT:
                break
        pause.wait(_LOOK_S)


def _finished(queries: Queries) -> Sequence[Row]:
    runs = queries.rows(_RUNS, {"agent": AGENT})
    if wrong := [run for run in runs if run["status"] != "done" or run["steps"] != _STEPS]:
        raise Broken(f"{len(wrong)} runs did not go as the script says; the first: {wrong[0]}")
    return runs


def _added(
    runs: Sequence[Row], to_what: str, slept_s: Sequence[float], median: float | None = None, p99: float | None = None
) -> Iterator[Figure]:
    added_ms = [(run["took_s"] - slept) / _STEPS * 1000 for run, slept in zip(runs, slept_s, strict=True)]
    name = f"added per step to the {to_what}"
    yield Figure(f"{name}: median of {len(runs)} runs", statistics.median(added_ms), "ms", median)
    yield Figure(f"{name}: p99", percentile(added_ms, 99), "ms", p99)


def _added_to_one(queries: Queries, skipped: int) -> Iterator[Figure]:
    gaps = queries.rows(_GAPS, {"agent": AGENT})[skipped:]
    added_ms = [(gap["took_s"] - (MODEL_S if gap["tool_name"] == "model" else TOOL_S)) * 1000 for gap in gaps]
    yield Figure(f"added to one step: median of {len(gaps):,}", statistics.median(added_ms), "ms")
    yield Figure("added to one step: p99", percentile(added_ms, 99), "ms")


def _answers() -> list[str | dict[str, Any]]:
    calls = [{"name": "look_up", "arguments": {"order_id": "4421", "part": turn}} for turn in range(TURNS)]
    return [*({"tool_calls": [call]} for call in calls), "It is on its way."]
