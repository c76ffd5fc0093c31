"""Submitting inside the caller's own transaction, on the connection that the caller has open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from agentflow.domain.errors import SubmissionRefused
from agentflow.store.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, SessionTransaction

# Where a session keeps what is published once it commits.
_KEPT = "agentflow.after_commit"


class InTransaction(Protocol):
    """A transaction of the caller's. Where it tells of its commit, the run is hinted; else the sweeper finds it."""

    tells_of_commit: bool

    def run_statement(self, name: str, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Run a named statement inside the transaction."""
        ...

    def after_commit(self, publish: Callable[[], None]) -> None:
        """Have `publish` called once the transaction has committed, where the driver tells."""
        ...


def in_transaction_of(session: Session | None, connection: Any, database: Database) -> InTransaction | None:
    """Return the caller's transaction, None where there is none; raise SubmissionRefused for what is no connection."""
    if session is not None and connection is not None:
        raise SubmissionRefused("give session= or connection=, not both")
    if session is not None:
        return _SessionTransaction(session, database)
    if connection is None:
        return None
    from sqlalchemy import Connection

    if isinstance(connection, Connection):
        return _ConnectionTransaction(connection, database)
    from psycopg2.extensions import connection as PsycopgConnection  # noqa: N812

    if isinstance(connection, PsycopgConnection):
        return _PsycopgTransaction(connection, database)
    kind = type(connection).__name__
    raise SubmissionRefused(f"connection= is a {kind}; give SQLAlchemy's Connection or a psycopg2 connection")


class _ConnectionTransaction:
    """SQLAlchemy's Connection: its commit event fires before the commit, so it does not tell."""

    tells_of_commit = False

    def __init__(self, connection: Connection, database: Database) -> None:
        self._connection = connection
        self._database = database
        if getattr(connection.connection.dbapi_connection, "autocommit", False):
            raise SubmissionRefused("the connection is in autocommit mode; open a transaction, or leave it out")

    def run_statement(self, name: str, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        statement = self._database.statements[name]
        return [dict(row) for row in self._connection.exec_driver_sql(statement, dict(values)).mappings()]

    def after_commit(self, publish: Callable[[], None]) -> None:
        """Leave it to the sweeper."""


class _SessionTransaction(_ConnectionTransaction):
    """SQLAlchemy's Session: it tells after the outermost commit."""

    tells_of_commit = True

    def __init__(self, session: Session, database: Database) -> None:
        super().__init__(session.connection(), database)
        self._session = session

    def after_commit(self, publish: Callable[[], None]) -> None:
        from sqlalchemy import event

        if not event.contains(self._session, "after_commit", _publish_kept):
            event.listen(self._session, "after_commit", _publish_kept)
            event.listen(self._session, "after_transaction_end", _forget_kept)
        self._session.info.setdefault(_KEPT, []).append(publish)


def _publish_kept(session: Session) -> None:
    # The release of a savepoint says that it is a commit too.
    if not session.in_nested_transaction():
        for publish in session.info.pop(_KEPT, ()):
            publish()


def _forget_kept(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_KEPT, None)


class _PsycopgTransaction:
    """A psycopg2 connection: it does not tell of its commits."""

    tells_of_commit = False

    def __init__(self, connection: Any, database: Database) -> None:
        self._connection = connection
        self._database = database
        if connection.autocommit:
            raise SubmissionRefused(
                "the psycopg2 connection is in autocommit mode; open a transaction, or leave it out"
            )

    def run_statement(self, name: str, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        from psycopg2.extras import RealDictCursor

        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(self._database.statements[name], dict(values))
            return [dict(row) for row in cursor.fetchall()]

    def after_commit(self, publish: Callable[[], None]) -> None:
        """Leave it to the sweeper."""
