"""Owns the making of runs by SQL: real ones are kept as they left their rows, and copied as often as wanted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table

from bench.loads.queries import Queries, querying
from bench.loads.shape import TEMPLATES, copied_columns, filled_tables, uuid7_at

# Triggers that check foreign keys are left out, and commits not waited for: what is made up is consistent.
_OPTIONS = "-c session_replication_role=replica -c synchronous_commit=off"
_BATCH = 5_000

_SAID = """
where hash in (
    with recursive said as (
        select m.hash, m.parent from messages m
        where m.hash in (select c.prompt_head from model_calls c where c.run_id = any(%(ids)s::uuid[]))
        union select m.hash, m.parent from messages m join said on m.hash = said.parent
    )
    select hash from said
)
"""
# What all runs of an agent send first: its tools and its instructions.
_SHARED = f"create table {TEMPLATES}.shared as select hash from messages where body ->> 'role' in ('tools', 'system')"
# Each run of the batch lies as far in the past as its place among all says, and is made of the kept runs in turns.
_MADE = f"""
create temporary table n on commit drop as
with made as (
    select clock_timestamp() - make_interval(secs => %(span_s)s) * (1 - place::float / %(runs)s) as at, place
    from generate_series(%(first)s::integer, %(last)s::integer - 1) place
), kept as (
    select run_id, created_at, row_number() over (order by run_id) - 1 as turn, count(*) over () as kinds
    from {TEMPLATES}.agent_runs
)
select {uuid7_at("made.at")} as run_id, kept.run_id as template,
    case when %(span_s)s = 0 then interval '0' else kept.created_at - made.at end as ago
from made join kept on made.place %% kept.kinds = kept.turn
"""
# Messages have no run: they are those of the runs that ask a model.
_ASKING = f"n.template in (select run_id from {TEMPLATES}.model_calls)"


def has_kept(queries: Queries) -> bool:
    """Return whether runs are kept from an earlier time."""
    return bool(queries.value("select to_regnamespace(%(name)s) is not null", {"name": TEMPLATES}))


def keep(queries: Queries, ids: Sequence[str]) -> None:
    """Keep the rows of some runs, as they are now, in place of those kept before."""
    queries.run(f"drop schema if exists {TEMPLATES} cascade")
    queries.run(f"create schema {TEMPLATES}")
    for table in filled_tables():
        which = _SAID if table.name == "messages" else "where run_id = any(%(ids)s::uuid[])"
        queries.run(f"create table {TEMPLATES}.{table.name} as select * from {table.name} {which}", {"ids": ids})
    queries.run(_SHARED)


class Copier:
    """Makes so many runs in all; the first of them lies `span_s` seconds in the past, the last is of now."""

    def __init__(self, database_url: str, runs: int, *, span_s: float = 0.0) -> None:
        self._database_url = database_url
        self._runs = runs
        self._span_s = span_s

    def copy(self, first: int = 0, last: int | None = None) -> None:
        """Make the runs from one place to another, in batches."""
        end = self._runs if last is None else last
        with querying(self._database_url, options=_OPTIONS) as queries:
            for place in range(first, end, _BATCH):
                self._copy_batch(queries, place, min(place + _BATCH, end))

    def _copy_batch(self, queries: Queries, first: int, last: int) -> None:
        queries.run("begin")
        queries.run(_MADE, {"first": first, "last": last, "runs": self._runs, "span_s": self._span_s})
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
