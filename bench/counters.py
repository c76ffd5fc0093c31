"""Owns the servers' own counters: transactions, WAL and fsyncs of Postgres, commands of Valkey.

A connection hands its counts of transactions and fsyncs on when it has been idle for ten seconds, at the latest. So
they are read after such a time, and what a stack does anyway is taken out, at the rate that it has at rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from bench.servers import connect

# Of a connection that has nothing to do: PGSTAT_IDLE_INTERVAL, and a little.
SETTLE_S = 11.0

_WAL_IN_IO_SINCE = 180_000
_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
_WAL = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_FSYNCS = "select wal_sync from pg_stat_wal"
_FSYNCS_IN_IO = "select sum(fsyncs) from pg_stat_io where object = 'wal'"


@dataclass(frozen=True, slots=True)
class Counts:
    """What Postgres had counted at a moment, without the questions of the watcher itself."""

    transactions: float
    fsyncs: float
    at: float = field(default_factory=time.monotonic)

    def per_second_since(self, before: Counts) -> Counts:
        """Return the rates since an earlier moment."""
        lasted_s = self.at - before.at
        return Counts(
            (self.transactions - before.transactions) / lasted_s, (self.fsyncs - before.fsyncs) / lasted_s, lasted_s
        )

    def work_since(self, before: Counts, at_rest: Counts) -> Counts:
        """Return what the work since an earlier moment added to what the time at rest accounts for."""
        lasted_s = self.at - before.at
        return Counts(
            self.transactions - before.transactions - at_rest.transactions * lasted_s,
            self.fsyncs - before.fsyncs - at_rest.fsyncs * lasted_s,
        )


class Watcher:
    """A connection that looks at a server while others work; it knows how often it asked."""

    def __init__(self, database_url: str) -> None:
        self._connection = connect(database_url)
        self._asked = 0

    def row(self, query: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Return the one row of a query, which is one transaction."""
        self._asked += 1
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            found = cursor.fetchone()
        assert found is not None
        return tuple(found)

    def counts(self) -> Counts:
        """Return what the server has counted, as far as it has been told."""
        asked = self._asked
        fsyncs = _FSYNCS_IN_IO if self._connection.server_version >= _WAL_IN_IO_SINCE else _FSYNCS
        return Counts(int(self.row(_TRANSACTIONS)[0]) - asked, int(self.row(fsyncs)[0]))

    def wal_bytes(self) -> int:
        """Return how much WAL was written since the server's data were made; it counts at once."""
        return int(self.row(_WAL)[0])

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def broker_commands(redis_url: str) -> dict[str, int]:
    """Return how often each command was run since the server's start, those inside of scripts included."""
    with redis.Redis.from_url(redis_url) as link:
        found = link.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(stats["calls"]) for name, stats in found.items()}
