"""Measures what `agentflow dev` costs while there is nothing to do: memory, CPU, and transactions on Postgres."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from bench import usage
from bench.figures import Figure
from bench.project import AGENT, QUESTION, Dev, developing, make_project
from bench.usage import Meter

_RUNS_BEFORE = 10
_SETTLE_S, _LONG_S = 5.0, 30.0
_MEMORY_GOAL_MB, _CPU_GOAL_PERCENT = 1000.0, 3.0
_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield totals, then each program's share; all pools have worked before, so that nothing is still unloaded."""
    with developing(make_project(folder / "project")) as dev:
        for handle in [dev.client.submit(AGENT, QUESTION) for _ in range(_RUNS_BEFORE)]:
            handle.result(60)
        _pass(_SETTLE_S)
        meter, transactions = Meter(dev.processes), _count_transactions(dev)
        _pass(_LONG_S)
        per_second = (_count_transactions(dev) - transactions) / _LONG_S
        cpu_percent = {name: seconds / _LONG_S * 100 for name, seconds in meter.by_name().items()}
        memory_mb = _memory_by_name(dev)
        yield Figure("memory of all processes (PSS)", sum(memory_mb.values()), "MB", _MEMORY_GOAL_MB)
        yield Figure("CPU, of one core", sum(cpu_percent.values()), "%", _CPU_GOAL_PERCENT)
        yield Figure("transactions on Postgres", per_second, "/s")
        for name in sorted(memory_mb):
            yield Figure(f"  {name}: memory", memory_mb[name], "MB")
            yield Figure(f"  {name}: CPU", cpu_percent.get(name, 0.0), "%")


def _memory_by_name(dev: Dev) -> dict[str, float]:
    names, found = dev.processes(), dict[str, float]()
    for pid, share_mb in usage.memory_mb(names).items():
        found[names[pid]] = found.get(names[pid], 0.0) + share_mb
    return found


def _count_transactions(dev: Dev) -> int:
    connection = psycopg2.connect(dev.database_url.replace("+psycopg2", "", 1))
    with connection, connection.cursor() as cursor:
        cursor.execute(_TRANSACTIONS)
        row = cursor.fetchone()
    connection.close()
    return int(row[0]) if row else 0


def _pass(seconds: float) -> None:
    threading.Event().wait(seconds)
