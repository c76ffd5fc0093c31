"""Measures steps of a model that is shown 20 KB each time: rate, WAL, and what stays in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.loads.agents import PROMPT_BYTES
from bench.loads.queries import Queries, querying
from bench.loads.rate import measure_rate
from bench.stack import Stack

RUNS = 100

_WARM_UP = 5
_SIZE = "select pg_database_size(current_database())"
_CALLS = "select count(*) from model_calls"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield rate, CPU, WAL and bytes per step; each run has a prompt of its own, shown in each of its turns."""
    with Stack(folder, {"AGENTFLOW_AGENTS": "bench.loads.agents"}) as stack, querying(stack.database_url) as queries:
        measure_rate(stack, "writing", [prompt(-number) for number in range(_WARM_UP)])
        before, calls = _size(queries), int(queries.value(_CALLS))
        rate = measure_rate(stack, "writing", [prompt(number) for number in range(RUNS)])
        grown, called = _size(queries) - before, int(queries.value(_CALLS)) - calls
        yield Figure(f"steps per second, {RUNS} runs at once", rate.per_second, "/s")
        yield Figure("  of these, the model's", called / rate.seconds, "/s")
        yield Figure("CPU seconds per 1,000 steps", rate.cpu_s_per_1000, "s")
        yield Figure("WAL per step", rate.wal_bytes / rate.steps, "B")
        yield Figure("tables and indexes, per step", grown / rate.steps, "B")
        yield Figure("  beside what the model was shown, per step", called * PROMPT_BYTES / rate.steps, "B")


def prompt(number: int) -> str:
    """Return a customer's message of 20 KB that no other run has."""
    sentence = f"This is what happened with order {number}, as far as I can tell. "
    return (sentence * (PROMPT_BYTES // len(sentence) + 1))[:PROMPT_BYTES]


def _size(queries: Queries) -> int:
    queries.run("checkpoint")
    return int(queries.value(_SIZE))
