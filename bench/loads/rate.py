"""Owns the ordinary load: many runs of one agent at once, and what they took by Postgres' own times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow import RunHandle
from bench.figures import Broken
from bench.loads.queries import Queries, querying
from bench.stack import Stack
from bench.usage import Meter

_PATIENCE_S = 600.0
_TAKEN = """
select count(*) filter (where r.status = 'done') as done,
    extract(epoch from max(r.finished_at) - min(r.started_at)) as s,
    (select count(*) from agent_steps s where s.run_id = any(%(ids)s::uuid[])) as steps
from agent_runs r where r.run_id = any(%(ids)s::uuid[])
"""
_WAL = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


@dataclass(frozen=True, slots=True)
class Rate:
    """What a load came to: steps, the seconds from the first start to the last end, CPU seconds by process, WAL."""

    steps: int
    seconds: float
    cpu_s: Mapping[str, float]
    wal_bytes: int

    @property
    def per_second(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds per 1,000 steps, of servers and workers together."""
        return sum(self.cpu_s.values()) / self.steps * 1000


def measure_rate(stack: Stack, agent: str, inputs: Sequence[Any]) -> Rate:
    """Submit a run for each input, wait for all of them, and return what they took; raise Broken if one is not done."""
    with querying(stack.database_url) as queries:
        meter, wal = Meter(stack.processes), int(queries.value(_WAL))
        handles = [stack.client.submit(agent, given) for given in inputs]
        for handle in handles:
            handle.wait(_PATIENCE_S)
        wal_bytes = int(queries.value(_WAL)) - wal
        return _rate(queries, handles, meter.by_name(), wal_bytes)


def _rate(queries: Queries, handles: Sequence[RunHandle], cpu_s: Mapping[str, float], wal_bytes: int) -> Rate:
    [taken] = queries.rows(_TAKEN, {"ids": [handle.run_id for handle in handles]})
    if taken["done"] != len(handles):
        raise Broken(f"of {len(handles)} runs only {taken['done']} ended done")
    return Rate(taken["steps"], float(taken["s"]), cpu_s, wal_bytes)
