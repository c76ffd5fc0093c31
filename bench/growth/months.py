"""Owns the months of history: where tables are in partitions, those of the past, as a year of use leaves them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from bench.loads.queries import Queries

# The one that reaches back without an end is what there was before tables came into partitions: here, nothing.
_OLDEST = """
select p.relname as table, c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds,
    array_to_string(c.reloptions, ', ') as options
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where p.relnamespace = current_schema()::regnamespace and p.relkind = 'p'
    and pg_get_expr(c.relpartbound, c.oid) like 'FOR VALUES FROM (MINVALUE)%%'
"""
_UNTIL = re.compile(r"TO \('([0-9a-f-]+)'\)")


def divide_past(queries: Queries, first: datetime) -> int:
    """Put partitions of months in the place of those that are empty; return in how many tables."""
    divided = 0
    for row in queries.rows(_OLDEST):
        until = _UNTIL.search(row["bounds"])
        if until is None or queries.value(f"select exists (select from {row['name']})"):
            continue
        queries.run(f"drop table {row['name']}")
        options = f" with ({row['options']})" if row["options"] else ""
        for name, bounds in partitions(first, _moment_of(until[1])):
            queries.run(f"create table {row['table']}_{name} partition of {row['table']} {bounds}{options}")
        divided += 1
    return divided


def partitions(first: datetime, until: datetime) -> Iterator[tuple[str, str]]:
    """Yield the name and the bounds of all that lies before the first month, and of each month up to a time."""
    month = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    yield f"before_{month:%Y_%m}", f"for values from (minvalue) to ('{_id_at(month)}')"
    while month < until:
        following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
        end = min(following, until)
        yield f"{month:%Y_%m}", f"for values from ('{_id_at(month)}') to ('{_id_at(end)}')"
        month = following


def _id_at(moment: datetime) -> str:
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80))


def _moment_of(run_id: str) -> datetime:
    return datetime.fromtimestamp((uuid.UUID(run_id).int >> 80) / 1000, UTC)
