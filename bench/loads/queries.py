"""Owns a connection of the benchmark's own to a stack's database: plain statements, each committed by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver writes its classes small
from psycopg2.extras import RealDictCursor

from agentflow.settings import settings

Row = Mapping[str, Any]


class Queries:
    """Statements on the schema that the stack works in. They may take as long as they need."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Run a statement and return its rows, none for one that gives none."""
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, statement: str, values: Mapping[str, Any] | None = None) -> Any:
        """Run a statement and return the one value that it gives."""
        [row] = self.rows(statement, values)
        [value] = row.values()
        return value

    def run(self, statement: str, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it touched."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.rowcount


@contextmanager
def querying(database_url: str, *, options: str = "") -> Iterator[Queries]:
    """Open a connection for as long as the block takes; `options` are settings of its session, as libpq writes them."""
    address = database_url.replace("+psycopg2", "", 1)
    path = f"-c search_path={settings().db_schema}"
    with closing(psycopg2.connect(address, application_name="agentflow bench", options=f"{path} {options}")) as opened:
        opened.autocommit = True
        yield Queries(opened)
