"""The queries: `python -m bench queries` takes the load of the steps and tells what Postgres was asked, statement by
statement.

pg_stat_statements counts; it is set up in the data directory of this stack alone, and slows the server a little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agentflow import AgentflowError
from agentflow.settings import settings
from bench.contest import EVERY_STEP_THROUGH_THE_BROKER
from bench.counters import Watcher
from bench.figures import Broken
from bench.forms import Agentflow
from bench.naming import Names
from bench.servers import COUNTING_STATEMENTS, connect
from bench.size import Size, add_size
from bench.stack import Stack

_WARM_UP = 20
_LONGEST = 88
_RESET = "select pg_stat_statements_reset()"
_READ = """
select s.query, sum(s.calls), sum(s.total_exec_time), sum(s.rows), sum(s.wal_bytes)
from pg_stat_statements s
where s.dbid = (select oid from pg_database where datname = current_database())
    and s.query not like '%pg_stat_statements%' and s.query not like '%/* bench */%'
group by s.query
"""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement, however often it ran, with its name where it is one of agentflow's named ones."""

    name: str
    text: str
    calls: int
    total_ms: float
    rows: int
    wal_bytes: int

    @property
    def title(self) -> str:
        """The name, and how the text begins."""
        whole = f"{self.name}: {self.text}" if self.name else self.text
        return whole if len(whole) <= _LONGEST else f"{whole[: _LONGEST - 3]}..."


def main(arguments: Sequence[str]) -> int:
    """Take the load and print the statements; 1 where it did not work."""
    asked = _read(arguments)
    try:
        found, steps = _measure(asked)
    except (Broken, TimeoutError, AgentflowError) as error:
        print(f"The queries could not be counted: {error}", file=sys.stderr)
        return 1
    console = Console(highlight=False, width=max(150, Console().width))
    console.print(_total(found, steps))
    for title, key in (("by calls", lambda query: query.calls), ("by total time", lambda query: query.total_ms)):
        console.print(_table(title, sorted(found, key=key, reverse=True)[: asked.most], steps))
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench queries", description=__doc__)
    parser.add_argument("--through-broker", action="store_true", help="every step through the broker")
    parser.add_argument("--most", type=int, default=25, help="rows of a table (%(default)s)")
    add_size(parser)
    return parser.parse_args(arguments)


def _measure(asked: argparse.Namespace) -> tuple[list[Query], int]:
    size = Size.read(asked)
    told = EVERY_STEP_THROUGH_THE_BROKER if asked.through_broker else {}
    with (
        tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder,
        Stack(Path(folder), told, concurrency=size.concurrency, whole=True, postgres=COUNTING_STATEMENTS) as stack,
        closing(Watcher(stack.database_url)) as watcher,
        closing(connect(stack.database_url)) as connection,
        connection.cursor() as cursor,
    ):
        form = Agentflow("", stack, watcher)
        cursor.execute("create extension if not exists pg_stat_statements")
        form.burst(_WARM_UP)
        cursor.execute(_RESET)
        steps = form.burst(size.runs).steps
        cursor.execute(_READ)
        names = Names(settings().db_schema)
        return [_query(names, row) for row in cursor.fetchall()], steps


def _query(names: Names, row: Sequence[Any]) -> Query:
    text, calls, total_ms, rows, wal_bytes = row
    return Query(names.of(text) or "", " ".join(text.split()), int(calls), float(total_ms), int(rows), int(wal_bytes))


def _total(found: Sequence[Query], steps: int) -> str:
    calls, total_ms = sum(query.calls for query in found), sum(query.total_ms for query in found)
    return (
        f"{steps:,} steps: {calls / steps:.2f} statements and {total_ms / steps:.3f} ms of Postgres per step, "
        "what the stack does at rest included"
    )


def _table(title: str, queries: Sequence[Query], steps: int) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("calls/step", "ms/step", "mean ms", "rows/step", "WAL bytes/step"):
        table.add_column(column, justify="right")
    table.add_column("statement")
    for query in queries:
        table.add_row(
            f"{query.calls / steps:.2f}",
            f"{query.total_ms / steps:.4f}",
            f"{query.total_ms / query.calls:.3f}",
            f"{query.rows / steps:.2f}",
            f"{query.wal_bytes / steps:,.0f}",
            query.title,
        )
    return table
