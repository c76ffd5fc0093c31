"""Deleting what is past: the partitions before a time, and then what is left over of their runs elsewhere.

A partition goes as a whole, in all tables, or stays: it stays while it holds a run that is not over, a message that is
not delivered, or the history of a conversation that has an open run.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from agentflow.domain.errors import DatabaseUnavailable
from agentflow.store.database import probe_engine
from agentflow.store.left_over import delete_left_over
from agentflow.store.partitions import TABLES, Partition, id_at, listing
from agentflow.store.short_locks import PATIENCE_S, NoMoment, give_way, patiently
from agentflow.store.statements import Statements

# The name of the lock that a pruning has: two would put back each other's messages.
_PRUNING_LOCK = 0x7072756E65
_NAMED = 5
_SMALLEST = str(uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class Held:
    """A run that keeps its partition: `open`, `undelivered` or `conversation`, or `locked` for want of a moment."""

    run_id: str | None
    because: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A partition that had to stay, and some of the runs that it stays for."""

    partition: Partition
    held: Sequence[Held]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning came to: partitions dropped and kept, and how many rows were deleted elsewhere, by table."""

    dropped: Sequence[Partition]
    kept: Sequence[Kept]
    left_over: Mapping[str, int]


def survey(url: str, schema: str, before: datetime) -> Pruned:
    """Return what a pruning would drop and keep now; what it would delete elsewhere is not counted."""
    with _connected(url) as connection:
        pruning = _Pruning(connection, schema, before)
        looked = [Kept(each, pruning.held(each)) for each in pruning.past()]
        return Pruned([each.partition for each in looked if not each.held], [each for each in looked if each.held], {})


def prune(url: str, schema: str, before: datetime, *, patience_s: float = PATIENCE_S) -> Pruned:
    """Delete the runs made before a time, by dropping the partitions that lie before it, and what is left over of them.

    Safe beside workers, and to be run again after it was stopped at any point. `patience_s` is for each partition.
    """
    with _connected(url) as connection:
        _alone(connection)
        pruning = _Pruning(connection, schema, before)
        dropped, kept = pruning.drop_partitions(patience_s)
        try:
            return Pruned(dropped, kept, delete_left_over(connection, schema, before, patience_s))
        except NoMoment as error:
            names = ", ".join(each.suffix for each in dropped) or "nothing"
            raise DatabaseUnavailable(
                f"{names} is dropped, but others had locks on `messages` all the while: "
                "run `agentflow db prune` again when long transactions are over"
            ) from error


@dataclass(frozen=True, slots=True)
class _Pruning:
    connection: Connection
    schema: str
    before: datetime

    def past(self) -> Sequence[Partition]:
        with self.connection.begin():
            found = listing(self.connection, self.schema)
        return [each for each in found if each.until is not None and each.until <= self.before]

    def held(self, partition: Partition) -> Sequence[Held]:
        with self.connection.begin():
            return self._held(partition)

    def drop_partitions(self, patience_s: float) -> tuple[list[Partition], list[Kept]]:
        dropped: list[Partition] = []
        kept: list[Kept] = []
        for each in self.past():
            if held := self._drop_patiently(each, patience_s):
                kept.append(Kept(each, held))
            else:
                dropped.append(each)
        return dropped, kept

    def _drop_patiently(self, partition: Partition, patience_s: float) -> Sequence[Held]:
        try:
            # The first look is without locks: of those that must stay, nobody is kept from anything.
            return self.held(partition) or patiently(self.connection, lambda: self._drop(partition), patience_s)
        except NoMoment:
            return [Held(None, "locked")]

    def _drop(self, partition: Partition) -> Sequence[Held]:
        with self.connection.begin():
            names = ", ".join(f'only "{self.schema}".{table}' for table in TABLES)
            self.connection.execute(text(f"lock table {names} in access exclusive mode"))
            if held := self._held(partition):
                return held
            tables = ", ".join(f'"{self.schema}"."{table}"' for table in partition.tables)
            self.connection.execute(text(f"drop table {tables}"))
            return []

    def _held(self, partition: Partition) -> Sequence[Held]:
        assert partition.until is not None
        first = id_at(partition.first) if partition.first else _SMALLEST
        rows = self._rows("held_runs", first=first, until=id_at(partition.until), most=_NAMED)
        return [Held(str(row["run_id"]), row["because"]) for row in rows]

    def _rows(self, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        query = Statements.load(self.schema)[statement]
        return [dict(row) for row in self.connection.exec_driver_sql(query, parameters).mappings()]


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    with probe_engine(url).connect() as connection:
        give_way(connection)
        yield connection


def _alone(connection: Connection) -> None:
    """Take the prunings' lock, which the session's end gives back; raise where another has it."""
    query = text("select pg_try_advisory_lock(:key)")
    if not connection.execute(query, {"key": _PRUNING_LOCK}).scalar_one():
        raise DatabaseUnavailable("another `agentflow db prune` is at work on this database: wait for its end")
    connection.commit()
