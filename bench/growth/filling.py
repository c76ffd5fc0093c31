"""Owns the filling of tables: copies of the kept runs, in batches, the oldest first, spread over the last year."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Table

from bench.growth.shape import TEMPLATES, copied_columns, filled_tables, uuid7_at
from bench.loads.queries import Queries, querying

BATCH = 5_000

# Triggers that check foreign keys are left out, and commits not waited for: what is filled is made up, and consistent.
_OPTIONS = "-c session_replication_role=replica -c synchronous_commit=off"
_SPAN = "interval '12 months'"
_BATCH = f"""
create temporary table n on commit drop as
with made as (
    select clock_timestamp() - {_SPAN} * (1 - place::float / %(runs)s) as at, place
    from generate_series(%(first)s::integer, %(last)s::integer) place
), kept as (
    select run_id, created_at, row_number() over (order by run_id) - 1 as turn, count(*) over () as kinds
    from {TEMPLATES}.agent_runs
)
select {uuid7_at("made.at")} as run_id, kept.run_id as template, kept.created_at - made.at as ago
from made join kept on made.place %% kept.kinds = kept.turn
"""
# Messages have no run: they are those of the runs that ask a model.
_ASKING = f"n.template in (select run_id from {TEMPLATES}.model_calls)"


def fill(database_url: str, runs: int, tell: Callable[[int], None]) -> None:
    """Add finished runs until there are so many; `tell` hears how many there are after each batch."""
    with querying(database_url, options=_OPTIONS) as queries:
        done = _count(queries)
        while done < runs:
            last = min(done + BATCH, runs)
            _fill_batch(queries, done, last, runs)
            done = last
            tell(done)
        queries.run("vacuum analyze")


def _count(queries: Queries) -> int:
    return int(queries.value("select count(*) from agent_runs"))


def _fill_batch(queries: Queries, first: int, last: int, runs: int) -> None:
    queries.run("begin")
    queries.run(_BATCH, {"first": first, "last": last - 1, "runs": runs})
    for table in filled_tables():
        queries.run(copy_statement(table))
    queries.run("commit")


def copy_statement(table: Table) -> str:
    """Return the statement that copies a table's kept rows for each run of the batch."""
    columns = copied_columns(table)
    whose = "n.template = t.run_id" if "run_id" in table.c else _ASKING
    return f"""
        insert into {table.name} ({", ".join(columns)})
        select {", ".join(columns.values())} from {TEMPLATES}.{table.name} t join n on {whose}
        on conflict do nothing
    """
