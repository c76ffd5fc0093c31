"""The way to Postgres: one pool per process, transactions that may be run again, and what a broken connection means."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from agentflow.domain import payload
from agentflow.domain.errors import DatabaseUnavailable
from agentflow.store.statements import Statements

T = TypeVar("T")
Row = Mapping[str, Any]

# A stopped worker that holds a row's lock would block everybody; these bound every wait on the server's side.
_SESSION = {
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "15s",
}
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
# Conflicts and locks, a server that stops or starts, and one that is full: of disk, of memory, of connections.
_RETRIED_SQLSTATES = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53100", "53200", "53300"}
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction and the named statements that may run in it."""

    connection: Connection
    statements: Statements

    def allow(self, seconds: float) -> None:
        """Let this transaction take so long: its statements, and the pauses between them."""
        self.run("allow_time", ms=str(int(seconds * 1000)))

    def rows(self, statement: str, /, **parameters: Any) -> Sequence[Row]:
        """Run a statement and return its rows."""
        result = self.connection.exec_driver_sql(self.statements[statement], parameters)
        return [dict(row) for row in result.mappings()]

    def row(self, statement: str, /, **parameters: Any) -> Row | None:
        """Run a statement and return its first row, or None."""
        found = self.rows(statement, **parameters)
        return found[0] if found else None

    def run(self, statement: str, /, **parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return self.connection.exec_driver_sql(self.statements[statement], parameters).rowcount

    def run_each(self, statement: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once for each set of parameters."""
        if parameters:
            self.connection.exec_driver_sql(self.statements[statement], [dict(each) for each in parameters])


class Database:
    """A pool of connections to one database, opened at the first use in each process."""

    def __init__(self, url: str, *, schema: str = "agentflow", application: str = "agentflow", pool: int = 5) -> None:
        self.url = url
        self.schema = schema
        self.statements = Statements.load(schema)
        self._application = application
        self._pool = pool
        self._engine: Engine | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._pause = threading.Event()

    @property
    def engine(self) -> Engine:
        """The engine of this process. A pool that came over by a fork is left alone: its sockets are the parent's."""
        if self._engine is None or self._pid != os.getpid():
            with self._lock:
                if self._engine is None or self._pid != os.getpid():
                    self._engine, self._pid = self._create(), os.getpid()
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit what is done inside, or nothing; raise DatabaseUnavailable where there is no connection to be had."""
        with self._connected() as connection, connection.begin():
            yield Transaction(connection, self.statements)

    def _connected(self) -> Connection:
        try:
            return self.engine.connect()
        except (OperationalError, PoolTimeout) as error:
            raise DatabaseUnavailable(f"the database does not answer: {_first_line(error)}") from error

    def atomically(self, body: Callable[[Transaction], T], *, patience_s: float = PATIENCE_S) -> T:
        """Run `body` in a transaction; again after a deadlock, a serialization failure or a lost connection.

        Bodies are written so that a second run recognises what an unanswered commit already did. After `patience_s`
        the last failure is raised.
        """
        return self._patiently(self.transaction, body, patience_s)

    def glance(self, body: Callable[[Transaction], T], *, patience_s: float = PATIENCE_S) -> T:
        """Run `body`, one statement that stands for itself, without a transaction around it and its two round trips."""
        return self._patiently(self._autocommit, body, patience_s)

    def survey(self, body: Callable[[Transaction], T], *, patience_s: float = PATIENCE_S) -> T:
        """Run `body`, which only reads, so that all its statements see the database as it was at the first."""
        return self._patiently(self._snapshot, body, patience_s)

    @contextmanager
    def _snapshot(self) -> Iterator[Transaction]:
        with self._connected() as connection:
            # On the driver, as in _autocommit: it says so in its `begin`, which is no round trip more.
            driver: Any = connection.connection.dbapi_connection
            driver.isolation_level, driver.readonly = "REPEATABLE READ", True
            try:
                with connection.begin():
                    yield Transaction(connection, self.statements)
            finally:
                if not driver.closed:
                    driver.isolation_level, driver.readonly = None, None

    @contextmanager
    def _autocommit(self) -> Iterator[Transaction]:
        with self._connected() as connection:
            # On the driver itself: SQLAlchemy's own option costs a transaction more each time it is taken back.
            driver: Any = connection.connection.dbapi_connection
            driver.autocommit = True
            try:
                yield Transaction(connection, self.statements)
            finally:
                if not driver.closed:
                    driver.autocommit = False

    def _patiently(
        self,
        opened: Callable[[], AbstractContextManager[Transaction]],
        body: Callable[[Transaction], T],
        patience_s: float,
    ) -> T:
        end = time.monotonic() + patience_s
        pause_s = 0.05
        while True:
            try:
                with opened() as tx:
                    return body(tx)
            except (DatabaseUnavailable, DBAPIError) as error:
                if time.monotonic() + pause_s > end or not is_passing(error):
                    raise
            self._pause.wait(pause_s)
            pause_s = min(1.0, pause_s * 2)

    def close(self) -> None:
        """Close this process's connections."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    def _create(self) -> Engine:
        options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        engine = create_engine(
            self.url,
            pool_size=self._pool,
            max_overflow=self._pool,
            pool_timeout=10,
            pool_recycle=1800,
            json_deserializer=payload.loads,
            # An error's text goes into logs, and a statement's parameters are what customers said.
            hide_parameters=True,
            connect_args={
                "options": options,
                "application_name": self._application,
                "connect_timeout": 5,
                **_KEEPALIVE,
            },
        )
        event.listen(engine, "connect", _read_json_as_payload)
        return engine


def is_passing(error: Exception) -> bool:
    """True for a failure of the database that another try may not meet."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or getattr(error.orig, "pgcode", None) in _RETRIED_SQLSTATES


def probe_engine(url: str) -> Engine:
    """Return an engine without a pool, for looking at a database once."""
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})


def _read_json_as_payload(connection: Any, _: ConnectionPoolEntry) -> None:
    from psycopg2.extras import register_default_json, register_default_jsonb

    register_default_json(connection, loads=payload.loads)
    register_default_jsonb(connection, loads=payload.loads)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().split("\n")[0]
