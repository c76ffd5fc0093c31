"""Owns the airline's rows in Postgres: one base copy, and for each conversation the rows that it has changed.

A conversation sees its own row where it has one, else the base's; nobody writes to the base after it was filled.
Rows are `json`, not `jsonb`: the tools' answers show the keys in the order in which they were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, text

from tests.acceptance.airline.dataset import TABLES, Row

BASE = ""

FIND = {
    table: text(
        f"select row::text from public.airline_{table} "
        "where id = :id and conversation_id in (:conversation_id, '') order by conversation_id desc limit 1"
    )
    for table in TABLES
}
SAVE = {
    table: text(
        f"insert into public.airline_{table} (conversation_id, id, row) "
        "values (:conversation_id, :id, cast(:row as json)) "
        "on conflict (conversation_id, id) do update set row = excluded.row"
    )
    for table in TABLES
}
COPY = {
    table: text(f"select id, row::text from public.airline_{table} where conversation_id = :conversation_id")
    for table in TABLES
}
RECORD_WRITE = text(
    "insert into public.airline_writes (conversation_id, tool, arguments, key) "
    "values (:conversation_id, :tool, cast(:arguments as json), :key)"
)


class Rows(Protocol):
    """A conversation's copy of the airline. What it answers is never changed in place: `save` takes a whole new row."""

    def find(self, table: str, row_id: str) -> Row | None:
        """Return a row, or None where there is none."""
        ...

    def flights(self) -> Mapping[str, Row]:
        """Return all flights by number."""
        ...

    def save(self, table: str, row_id: str, row: Row) -> None:
        """Keep a row."""
        ...


class PostgresRows:
    """A conversation's copy, in the caller's transaction. `timetable` is the base's flights, where they are at hand."""

    def __init__(
        self, connection: Connection, conversation_id: str, timetable: Mapping[str, Row] | None = None
    ) -> None:
        self._connection = connection
        self._conversation_id = conversation_id
        self._timetable = timetable
        self.has_changed = False

    def find(self, table: str, row_id: str) -> Row | None:
        """Return the conversation's own row, else the base's."""
        found = self._connection.execute(FIND[table], {"id": row_id, "conversation_id": self._conversation_id})
        stored = found.scalar()
        return None if stored is None else json.loads(stored)

    def flights(self) -> Mapping[str, Row]:
        """Return the base's flights, the conversation's own in their places."""
        base = stored_rows(self._connection, "flights", BASE) if self._timetable is None else self._timetable
        return {**base, **stored_rows(self._connection, "flights", self._conversation_id)}

    def save(self, table: str, row_id: str, row: Row) -> None:
        """Keep the row as the conversation's own, and notice whether that changes anything."""
        if row == self.find(table, row_id):
            return
        self.has_changed = True
        values = {"conversation_id": self._conversation_id, "id": row_id, "row": json.dumps(row)}
        self._connection.execute(SAVE[table], values)

    def record_write(self, tool: str, arguments: Mapping[str, Any], key: str) -> None:
        """Note that a call changed rows, in the transaction that changes them."""
        values = {
            "conversation_id": self._conversation_id,
            "tool": tool,
            "arguments": json.dumps(arguments),
            "key": key,
        }
        self._connection.execute(RECORD_WRITE, values)


def stored_rows(connection: Connection, table: str, conversation_id: str) -> dict[str, Row]:
    """Return a conversation's own rows of a table, or the base's, by id."""
    found = connection.execute(COPY[table], {"conversation_id": conversation_id})
    return {row_id: json.loads(stored) for row_id, stored in found}
