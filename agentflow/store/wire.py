"""One connection's talk with Postgres: what has no answer to wait for goes out with what comes after it.

A round trip costs as much as the statement that it carries. Writes are kept until a statement that is asked for rows,
or the end of the transaction, takes them along: the server works through all that one message holds in its order, and
skips the rest, the commit too, from the first that fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from agentflow.domain.errors import AgentflowError
from agentflow.store.statements import Prepared

_PREPARED = "agentflow.prepared"
_UNCERTAIN = "agentflow.uncertain"
_FEATURE_NOT_SUPPORTED = "0A000"


class Wire:
    """The conversation of one connection that is in autocommit mode; where a transaction begins and ends is said here.

    Failures are raised as SQLAlchemy's DBAPIError; after one that broke the connection, it is invalidated.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        driver: Any = connection.connection.dbapi_connection
        self._driver = driver
        self._cursor = driver.cursor()
        self._kept: list[bytes] = []
        # Without their parameters, which are what customers said: errors name the statements.
        self._statements: list[str] = []
        self._opening: str | None = None
        self._is_open = False
        # It lives and dies with the driver's connection, however often that is lent.
        self._prepared: set[str] = connection.info.setdefault(_PREPARED, set())
        self._preparing: set[str] = set()
        self._is_plain = False
        self._begins_anew = connection.info.get(_UNCERTAIN, False)
        if self._begins_anew:
            self._kept.append(b"deallocate all")

    def begin(self, words: str = "begin") -> None:
        """Have a transaction begin with whatever is sent first."""
        self._opening = words

    def keep(
        self, statement: str, parameters: Mapping[str, Any] | None = None, prepared: Prepared | None = None
    ) -> None:
        """Send a statement along with the next; where it can be prepared, by its name."""
        if prepared is None or parameters is None or self._is_plain:
            self._kept.append(self._cursor.mogrify(statement, parameters))
        else:
            self._prepare(prepared)
            self._kept.append(self._cursor.mogrify(prepared.call, [parameters[each] for each in prepared.parameters]))
        self._statements.append(statement)

    def ask(
        self, statement: str, parameters: Mapping[str, Any], prepared: Prepared | None = None
    ) -> list[Mapping[str, Any]]:
        """Send what was kept, then a statement, and return its rows."""
        self.run(statement, parameters, prepared)
        if self._cursor.description is None:
            return []
        names = [column.name for column in self._cursor.description]
        return [dict(zip(names, row, strict=True)) for row in self._cursor.fetchall()]

    def run(self, statement: str, parameters: Mapping[str, Any], prepared: Prepared | None = None) -> int:
        """Send what was kept, then a statement, and return how many rows it touched."""
        self.keep(statement, parameters, prepared)
        self.flush()
        return int(self._cursor.rowcount)

    def flush(self) -> None:
        """Send what was kept, and have the transaction begun that was asked for."""
        if self._opening is not None:
            self._kept.insert(0, self._opening.encode())
            self._opening, self._is_open = None, True
        if self._kept:
            message, statements = b";\n".join(self._kept), ";\n".join(self._statements)
            self._kept, self._statements = [], []
            self._send(message, statements)

    def commit(self) -> None:
        """Send what was kept and commit; nothing at all where nothing was to be done."""
        if not self._is_open and not self._kept:
            return
        self.keep("commit")
        self.flush()
        self._is_open = False
        if self._cursor.statusmessage != "COMMIT":
            raise AgentflowError("A transaction was rolled back instead of committed: a failure in it was ignored")

    def abandon(self) -> None:
        """Roll back; a connection that can't is given up, which rolls back too."""
        self._kept, self._statements = [], []
        if not self._is_open or self._connection.invalidated:
            return
        self._is_open = False
        try:
            self._cursor.execute("rollback")
        except psycopg2.Error as error:
            self._connection.invalidate(error)

    def _send(self, message: bytes, statements: str) -> None:
        try:
            self._cursor.execute(message)
        except psycopg2.Error as error:
            self._forget_prepared(is_outdated=is_outdated_plan(error))
            raise self._raised(statements, error) from error
        except BaseException:
            self._forget_prepared()
            raise
        self._prepared |= self._preparing
        self._preparing.clear()
        if self._begins_anew:
            # Only now: a message that was never sent has cleared nothing up.
            self._begins_anew = False
            self._connection.info.pop(_UNCERTAIN)

    def _forget_prepared(self, *, is_outdated: bool = False) -> None:
        """Begin anew on this connection's next use: how far the server came is not known, and no rollback undoes it."""
        if self._preparing or self._begins_anew or is_outdated:
            self._preparing.clear()
            self._prepared.clear()
            self._begins_anew = False
            self._connection.info[_UNCERTAIN] = self._is_plain = True

    def _prepare(self, prepared: Prepared) -> None:
        """Have a statement prepared by the message that first calls it on this connection."""
        if prepared.name not in self._prepared and prepared.name not in self._preparing:
            self._preparing.add(prepared.name)
            self._kept.append(prepared.definition.encode())

    def _raised(self, statements: str, error: psycopg2.Error) -> Exception:
        """Return what SQLAlchemy would have raised, and deal with the connection as it would have."""
        dialect: Any = self._connection.dialect
        is_gone = bool(self._driver.closed) or dialect.is_disconnect(error, self._driver, self._cursor)
        if is_gone and not self._connection.invalidated:
            self._connection.invalidate(error)
        return DBAPIError.instance(
            statements,
            None,
            error,
            psycopg2.Error,
            hide_parameters=True,
            connection_invalidated=is_gone,
            dialect=dialect,
        )


def is_outdated_plan(error: BaseException | None) -> bool:
    """True where a migration has changed the columns that a prepared statement gives: prepared anew, it goes on."""
    return getattr(error, "pgcode", None) == _FEATURE_NOT_SUPPORTED and "cached plan must not change" in str(error)
