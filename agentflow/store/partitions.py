"""The partitions: which there are, and those of the months ahead.

The tables that grow with runs are partitioned by the run's id, a UUID of version 7, whose first 48 bits are the
milliseconds since 1970. All of them have the same partitions, named by their tables and one suffix:

    before_2026_12      what there was when the tables became partitioned
    2026_12, 2027_01    a month each, from its first moment (UTC) to the next one's
    2027_02_11          the rest of a month whose first days' runs found no partition
    default             runs of no month that has one: those of such days, and ids that are no times

Months are made ahead of their time, 45 days at least. Rows of the default partition stay there: a month that has some
is begun on the day after the newest of them. No row is ever moved, so that no statement under way can miss one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, text

from agentflow.store.short_locks import PATIENCE_S, patiently
from agentflow.store.statements import Statements

# In the order in which everybody locks them.
TABLES = (
    "agent_runs",
    "agent_steps",
    "attempts",
    "model_calls",
    "transitions",
    "outbox",
    "approvals",
    "interventions",
)
DEFAULT = "default"
AHEAD = timedelta(days=45)
_BOUNDS = re.compile(
    r"FOR VALUES FROM \((?:'(?P<first>[0-9a-f-]+)'|MINVALUE)\) TO \((?:'(?P<until>[0-9a-f-]+)'|MAXVALUE)\)"
)
# The name of the lock that those have who make partitions.
_MAKERS_LOCK = 0x6D616B65
# Rows of these change several times, and each change is one of their indexes' too.
_STORAGE = {
    "agent_runs": "with (autovacuum_vacuum_scale_factor = 0.05)",
    "agent_steps": "with (autovacuum_vacuum_scale_factor = 0.05)",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of all the tables: its suffix, its time as far as it has ends, its size, and about how many runs."""

    suffix: str
    first: datetime | None
    until: datetime | None
    bytes: int
    runs: int

    @property
    def is_default(self) -> bool:
        """True for the partition of what lies in no other."""
        return self.suffix == DEFAULT

    @property
    def tables(self) -> Sequence[str]:
        """The names of its tables, in the order of locks."""
        return [f"{table}_{self.suffix}" for table in TABLES]


def listing(connection: Connection, schema: str) -> Sequence[Partition]:
    """Return the partitions in the order of their times, the default one last."""
    query = Statements.load(schema)["partitions_of_runs"]
    rows = connection.exec_driver_sql(query, {"tables": list(TABLES)}).mappings()
    found = [_partition(row["name"], row["bounds"], row["bytes"], row["runs"]) for row in rows]
    return sorted(found, key=lambda each: (each.until is None, each.until))


def make_ahead(
    connection: Connection, schema: str, now: datetime, *, patience_s: float = PATIENCE_S
) -> Sequence[Partition]:
    """Make the partitions of the coming months that are not there yet, and return those made.

    Each is made in all tables at once, with locks that last as long as looking through the default partition takes.
    Raises NoMoment.
    """
    made: list[Partition] = []
    for month in _months(now):
        partition = patiently(connection, partial(_make, connection, schema, month), patience_s)
        made += [partition] if partition else []
    return made


def id_at(moment: datetime) -> str:
    """Return the smallest id that a run can have which was made at a time."""
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80))


def moment_of(run_id: str) -> datetime:
    """Return when a run was made, by its id."""
    return datetime.fromtimestamp((uuid.UUID(run_id).int >> 80) / 1000, UTC)


def _months(now: datetime) -> Sequence[datetime]:
    months = [_first_of(now)]
    while (following := _next(months[-1])) <= now + AHEAD:
        months.append(following)
    return months


def _make(connection: Connection, schema: str, month: datetime) -> Partition | None:
    """Make what is missing of a month, from the day after the newest run that found no partition in it."""
    with connection.begin():
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _MAKERS_LOCK})
        found = listing(connection, schema)
        first = _uncovered(found, month)
        # A schema of before the partitions has not even a default one.
        if not found or first == _next(month):
            return None
        # Before the look at them: nothing comes to them any more.
        _lock(connection, schema, [f"{table}_{DEFAULT}" for table in TABLES])
        first = _after_strays(connection, schema, first, _next(month))
        if first == _next(month):
            return None
        made = Partition(_suffix(first), first, _next(month), 0, 0)
        for table, name in zip(TABLES, made.tables, strict=True):
            _attach(connection, f'"{schema}".{table}', f'"{schema}"."{name}"', made, _STORAGE.get(table, ""))
        return made


def _uncovered(partitions: Sequence[Partition], month: datetime) -> datetime:
    """Return from when on a month has no partition; its end where it has one."""
    ends = [each.until for each in partitions if each.until and month < each.until]
    return min(_next(month), *(max(month, end) for end in ends)) if ends else month


def _after_strays(connection: Connection, schema: str, first: datetime, until: datetime) -> datetime:
    query = Statements.load(schema)["last_stray"]
    newest = connection.exec_driver_sql(query, {"first": id_at(first), "until": id_at(until)}).scalar()
    if newest is None:
        return first
    day = moment_of(str(newest)).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(until, day + timedelta(days=1))


def _attach(connection: Connection, table: str, name: str, made: Partition, storage: str) -> None:
    assert made.first is not None
    assert made.until is not None
    connection.execute(text(f"create table {name} (like {table} including defaults including storage) {storage}"))
    bounds = f"from ('{id_at(made.first)}') to ('{id_at(made.until)}')"
    # Attached, not made in its place: that would keep everybody from all partitions of the table.
    connection.execute(text(f"alter table {table} attach partition {name} for values {bounds}"))


def _lock(connection: Connection, schema: str, tables: Sequence[str]) -> None:
    names = ", ".join(f'only "{schema}"."{table}"' for table in tables)
    connection.execute(text(f"lock table {names} in access exclusive mode"))


def _partition(name: str, bounds: str, size: int, runs: int) -> Partition:
    found = _BOUNDS.fullmatch(bounds)
    first, until = (found["first"], found["until"]) if found else (None, None)
    return Partition(
        name.removeprefix("agent_runs_"),
        moment_of(first) if first else None,
        moment_of(until) if until else None,
        size,
        runs,
    )


def _suffix(first: datetime) -> str:
    return f"{first:%Y_%m}" if first.day == 1 else f"{first:%Y_%m_%d}"


def _first_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)
