"""Owns Postgres and Valkey, which all peers share, and what can be read off them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import redis
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver writes its classes small

from agentflow.local import Services, attach, status
from bench import usage
from bench.figures import Broken
from bench.usage import Names
from bench.waiting import until

_SETTINGS = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_sync_method",
    "shared_buffers", "max_wal_size", "max_connections", "autovacuum",
)  # fmt: skip
_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"
_SESSIONS = "select count(*) from pg_stat_activity where datname = %s"
_WAL_BYTES = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"


class Servers:
    """The embedded servers below a folder, held until the end of `serving`."""

    def __init__(self, data_dir: Path, services: Services, connection: Connection) -> None:
        self._data_dir = data_dir
        self._services = services
        # To another database than the peers', so that it is not counted with theirs.
        self._connection = connection

    @property
    def redis_url(self) -> str:
        """Where Valkey is, without one of its databases' numbers."""
        return self._services.redis_url.rpartition("/")[0]

    @property
    def programs(self) -> Path:
        """The folder of Postgres' own programs."""
        found = status(self._data_dir)
        if found is None or found.postgres is None:
            raise Broken("Postgres is gone")
        return Path(found.postgres.program).parent

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Make a database, empty Valkey, and yield the database's URL; drop it at the end, or it would be vacuumed
        while another one is measured.
        """
        self._ask(f'create database "{name}"')
        # So that none comes by itself into a measurement.
        self._ask("checkpoint")
        with closing(redis.Redis.from_url(self._services.redis_url)) as valkey:
            valkey.flushall()
        try:
            yield f"{_plain(self._services.database_url).rpartition('/')[0]}/{name}"
        finally:
            self._ask(f'drop database "{name}" with (force)')

    def settings(self) -> dict[str, str]:
        """Return Postgres' version, and the settings that durability and speed depend on."""
        return {name: str(self._ask(f"show {name}")) for name in _SETTINGS}

    def valkey_version(self) -> str:
        """Return Valkey's version."""
        found = status(self._data_dir)
        return found.valkey.version if found and found.valkey else ""

    def transactions(self, database: str) -> int:
        """Return how many transactions a database has seen, as far as the sessions have told."""
        return int(self._ask(_TRANSACTIONS, database))

    def sessions(self, database: str) -> int:
        """Return how many sessions a database has."""
        return int(self._ask(_SESSIONS, database))

    def wal_bytes(self) -> int:
        """Return how much WAL there ever was."""
        return int(self._ask(_WAL_BYTES))

    def processes(self) -> Names:
        """Return the servers' processes, by pid."""
        return usage.servers(self._data_dir)

    def _ask(self, sql: str, *values: object) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


class Watch:
    """A look at one peer's database, that counts itself: what it does is not the peer's."""

    def __init__(self, connection: Connection, valkey: redis.Redis) -> None:
        self._connection = connection
        self._valkey = valkey
        self.pid: int = connection.info.backend_pid
        self.looks = 0

    def count(self, sql: str) -> int:
        """Return a number that the database is asked for."""
        self.looks += 1
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return int(row[0]) if row else 0

    def keys(self) -> int:
        """Return how many keys Valkey has in its database 1."""
        return int(self._valkey.dbsize())


@contextmanager
def serving(folder: Path) -> Iterator[Servers]:
    """Run the servers for as long as the block takes."""
    data_dir = folder / "data"
    with attach(data_dir) as services, closing(_connect(services.database_url)) as connection:
        yield Servers(data_dir, services, connection)
    until(lambda: not usage.servers(data_dir), "end of the servers")


@contextmanager
def watching(database_url: str, redis_url: str) -> Iterator[Watch]:
    """Look at a peer's database for as long as the block takes."""
    valkey = redis.Redis.from_url(f"{redis_url}/1")
    with closing(_connect(database_url)) as connection, closing(valkey):
        yield Watch(connection, valkey)


def _connect(url: str) -> Connection:
    connection = psycopg2.connect(_plain(url))
    connection.autocommit = True
    return connection


def _plain(url: str) -> str:
    return url.replace("+psycopg2", "", 1)
