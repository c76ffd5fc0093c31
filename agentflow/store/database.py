"""The way to Postgres: one pool per process, transactions that may be run again, and what a broken connection means."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from agentflow.domain import payload
from agentflow.domain.errors import DatabaseUnavailable
from agentflow.store.statements import Prepared, Statements
from agentflow.store.wire import Wire, is_outdated_plan

T = TypeVar("T")
Row = Mapping[str, Any]

# A stopped worker that holds a row's lock would block everybody; these bound every wait on the server's side.
_SESSION = {
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "15s",
    # The plans of prepared statements name one run, or look into all partitions: values would not better them.
    "plan_cache_mode": "force_generic_plan",
}
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
# Conflicts and locks, a server that stops or starts, and one that is full: of disk, of memory, of connections.
_RETRIED_SQLSTATES = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53100", "53200", "53300"}
PATIENCE_S = 5.0
_RECYCLED_AFTER_S = 1800
_SINCE = "agentflow.since"
_SNAPSHOT = "begin isolation level repeatable read read only"


class Transaction:
    """An open transaction and the named statements that may run in it."""

    def __init__(
        self, connection: Connection, wire: Wire, statements: Statements, prepared: Mapping[str, Prepared]
    ) -> None:
        self.statements = statements
        self._connection = connection
        self._wire = wire
        self._prepared = prepared
        self._is_joined = False

    @property
    def connection(self) -> Connection:
        """The transaction as SQLAlchemy's connection; all that was written so far is sent before."""
        self._wire.flush()
        if not self._is_joined:
            self._is_joined = True
            self._connection.begin()
        return self._connection

    def allow(self, seconds: float) -> None:
        """Let this transaction take so long: its statements, and the pauses between them."""
        self.write("allow_time", ms=str(int(seconds * 1000)))

    def rows(self, statement: str, /, **parameters: Any) -> Sequence[Row]:
        """Run a statement and return its rows."""
        return self._wire.ask(self.statements[statement], parameters, self._prepared.get(statement))

    def row(self, statement: str, /, **parameters: Any) -> Row | None:
        """Run a statement and return its first row, or None."""
        found = self.rows(statement, **parameters)
        return found[0] if found else None

    def run(self, statement: str, /, **parameters: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return self._wire.run(self.statements[statement], parameters, self._prepared.get(statement))

    def write(self, statement: str, /, **parameters: Any) -> None:
        """Run a statement that nobody waits for: it goes out with the next that has an answer, or with the commit."""
        self._wire.keep(self.statements[statement], parameters, self._prepared.get(statement))

    def write_each(self, statement: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Write a statement once for each set of parameters."""
        for each in parameters:
            self._wire.keep(self.statements[statement], each, self._prepared.get(statement))


class Database:
    """A pool of connections to one database, opened at the first use in each process.

    `prepare` says whether statements that are asked often are prepared: not where a pooler lends the server's
    connections for a transaction each.
    """

    wire: Callable[[Connection], Wire] = staticmethod(Wire)

    def __init__(
        self,
        url: str,
        *,
        schema: str = "agentflow",
        application: str = "agentflow",
        pool: int = 5,
        prepare: bool = True,
    ) -> None:
        self.url = url
        self.schema = schema
        self.statements = Statements.load(schema)
        self._prepared: Mapping[str, Prepared] = self.statements.prepared if prepare else {}
        self._application = application
        self._pool = pool
        self._engine: Engine | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._kept: deque[Connection] = deque()
        self._kept_by = os.getpid()
        self._of_parents: list[deque[Connection]] = []

    @property
    def engine(self) -> Engine:
        """The engine of this process. A pool that came over by a fork is left alone: its sockets are the parent's."""
        if self._engine is None or self._pid != os.getpid():
            with self._lock:
                if self._engine is None or self._pid != os.getpid():
                    self._engine, self._pid = self._create(), os.getpid()
        return self._engine

    @contextmanager
    def transaction(self, beginning: str = "begin") -> Iterator[Transaction]:
        """Commit what is done inside, or nothing; raise DatabaseUnavailable where there is no connection to be had."""
        with self._lent() as connection:
            wire = self.wire(connection)
            wire.begin(beginning)
            try:
                yield Transaction(connection, wire, self.statements, self._prepared)
                wire.commit()
            except BaseException:
                wire.abandon()
                raise

    @contextmanager
    def _lent(self) -> Iterator[Connection]:
        """Lend a connection that is kept: SQLAlchemy's pool takes as long to lend one as a statement takes."""
        if self._kept_by != os.getpid():
            # What came over by a fork is the parent's: closed here, it would be closed there.
            self._of_parents.append(self._kept)
            self._kept, self._kept_by = deque(), os.getpid()
        try:
            connection = self._kept.pop()
        except IndexError:
            connection = self._connected()
        try:
            yield connection
        finally:
            self._take_back(connection)

    def _take_back(self, connection: Connection) -> None:
        """Keep a connection that is as it was when it was opened; the pool deals with any other."""
        is_clean = not (connection.closed or connection.invalidated or connection.in_transaction())
        if is_clean and len(self._kept) < self._pool:
            now = time.monotonic()
            if now - connection.info.setdefault(_SINCE, now) < _RECYCLED_AFTER_S:
                self._kept.append(connection)
                return
        connection.close()

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
        return self._patiently(lambda: self.transaction(_SNAPSHOT), body, patience_s)

    @contextmanager
    def _autocommit(self) -> Iterator[Transaction]:
        with self._lent() as connection:
            wire = self.wire(connection)
            yield Transaction(connection, wire, self.statements, self._prepared)
            wire.flush()

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
            while self._kept and self._kept_by == self._pid:
                self._kept.pop().close()
            self._engine.dispose()
        self._engine = None

    def _create(self) -> Engine:
        options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        engine = create_engine(
            self.url,
            pool_size=self._pool,
            max_overflow=self._pool,
            pool_timeout=10,
            pool_recycle=_RECYCLED_AFTER_S,
            # The wire says itself where a transaction begins: the driver would spend a round trip on that.
            isolation_level="AUTOCOMMIT",
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
    is_retried = getattr(error.orig, "pgcode", None) in _RETRIED_SQLSTATES or is_outdated_plan(error.orig)
    return error.connection_invalidated or is_retried


def probe_engine(url: str) -> Engine:
    """Return an engine without a pool, for looking at a database once."""
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})


def _read_json_as_payload(connection: Any, _: ConnectionPoolEntry) -> None:
    from psycopg2.extras import register_default_json, register_default_jsonb

    register_default_json(connection, loads=payload.loads)
    register_default_jsonb(connection, loads=payload.loads)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().split("\n")[0]
