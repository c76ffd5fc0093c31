"""Measures what `agentflow dev` costs while there is nothing to do: memory, CPU, and what it asks of Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import usage
from bench.counters import SETTLE_S
from bench.figures import Figure
from bench.project import AGENT, QUESTION, Dev, developing, make_project
from bench.servers import COUNTING_STATEMENTS, connect, set_up_postgres
from bench.usage import Meter
from bench.waiting import rest

_RUNS_BEFORE = 10
_LONG_S = 20.0
_MEMORY_GOAL_MB, _CPU_GOAL_PERCENT, _QUERIES_GOAL = 1000.0, 3.0, 10.0
_ASKED = """
select (select xact_commit + xact_rollback from pg_stat_database where datname = current_database()),
    (select coalesce(sum(calls), 0) from pg_stat_statements where query !~* '^(begin|commit|rollback)')
"""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What Postgres was asked; the beginning and the end of a transaction are no queries."""

    transactions: int
    queries: int


def measure(folder: Path) -> Iterator[Figure]:
    """Yield totals, then each program's share; all pools have worked before, so that nothing is still unloaded."""
    project = make_project(folder / "project")
    set_up_postgres(project / ".agentflow", COUNTING_STATEMENTS)
    with developing(project) as dev:
        for handle in [dev.client.submit(AGENT, QUESTION) for _ in range(_RUNS_BEFORE)]:
            handle.result(60)
        rest(SETTLE_S)
        meter, before = Meter(dev.processes), _asked(dev)
        rest(_LONG_S)
        after = _asked(dev)
        cpu_percent = {name: seconds / _LONG_S * 100 for name, seconds in meter.by_name().items()}
        memory_mb = _memory_by_name(dev)
        yield Figure("memory of all processes (PSS)", sum(memory_mb.values()), "MB", _MEMORY_GOAL_MB)
        yield Figure("CPU, of one core", sum(cpu_percent.values()), "%", _CPU_GOAL_PERCENT)
        yield Figure("transactions on Postgres", (after.transactions - before.transactions) / _LONG_S, "/s")
        yield Figure("queries on Postgres", (after.queries - before.queries) / _LONG_S, "/s", _QUERIES_GOAL)
        for name in sorted(memory_mb):
            yield Figure(f"  {name}: memory", memory_mb[name], "MB")
            yield Figure(f"  {name}: CPU", cpu_percent.get(name, 0.0), "%")


def _memory_by_name(dev: Dev) -> dict[str, float]:
    names, found = dev.processes(), dict[str, float]()
    for pid, share_mb in usage.memory_mb(names).items():
        found[names[pid]] = found.get(names[pid], 0.0) + share_mb
    return found


def _asked(dev: Dev) -> _Asked:
    with closing(connect(dev.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("create extension if not exists pg_stat_statements")
        cursor.execute(_ASKED)
        transactions, queries = cursor.fetchone() or (0, 0)
    return _Asked(int(transactions), int(queries))
