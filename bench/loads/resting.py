"""Owns stacks at rest, side by side: statements and transactions on Postgres, CPU of all processes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agentflow.local import attach
from bench import usage
from bench.loads.queries import Queries, querying
from bench.stack import Stack
from bench.usage import Meter
from bench.waiting import until

_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
_STATEMENTS = "select coalesce(sum(calls), 0) from pg_stat_statements where query !~* '^(begin|commit|rollback)'"


@dataclass(frozen=True, slots=True)
class Rest:
    """What a stack does per second that has nothing to do, and its share of one core."""

    transactions: float
    queries: float
    cpu_percent: float


def count_statements(data_dir: Path) -> None:
    """Have the servers of a data directory count statements from their next start on."""
    with attach(data_dir) as services, querying(services.database_url) as queries:
        queries.run("alter system set shared_preload_libraries = 'pg_stat_statements'")
    until(lambda: not usage.servers(data_dir), "end of the servers")


def measure_rest(stacks: Mapping[str, Stack], seconds: float) -> dict[str, Rest]:
    """Let stacks rest side by side, and return what each did meanwhile."""
    with ExitStack() as open_:
        looks = {name: open_.enter_context(querying(stack.database_url)) for name, stack in stacks.items()}
        for queries in looks.values():
            queries.run("create extension if not exists pg_stat_statements")
        before = {name: _counts(queries) for name, queries in looks.items()}
        meters = {name: Meter(stack.processes) for name, stack in stacks.items()}
        threading.Event().wait(seconds)
        used = {name: sum(meter.by_name().values()) for name, meter in meters.items()}
        after = {name: _counts(queries) for name, queries in looks.items()}
    return {
        name: Rest(
            transactions=(after[name][0] - before[name][0]) / seconds,
            queries=(after[name][1] - before[name][1]) / seconds,
            cpu_percent=used[name] / seconds * 100,
        )
        for name in stacks
    }


def _counts(queries: Queries) -> tuple[int, int]:
    # Each look is two statements and two transactions of its own: too few to be seen.
    return int(queries.value(_TRANSACTIONS)), int(queries.value(_STATEMENTS))
