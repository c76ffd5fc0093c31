"""Owns a count of what is sent to Postgres: statements by their names, and messages, which may hold several."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import Connection

from agentflow.store.database import Database
from agentflow.store.wire import Wire


class Counted(Database):
    """The database of another, with a count."""

    def __init__(self, other: Database) -> None:
        super().__init__(other.url, schema=other.schema, pool=1)
        self._names = {text: name for name, text in self.statements.by_name.items()}
        self._lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        self.messages = 0
        self.wire = self._open  # type: ignore[method-assign]

    def _open(self, connection: Connection) -> Wire:
        return _CountedWire(connection, self)

    def note(self, statements: str) -> None:
        """Count a message."""
        with self._lock:
            self.messages += 1
            self.sent.update(self._names.get(each, each) for each in statements.split(";\n"))


class _CountedWire(Wire):
    def __init__(self, connection: Connection, counted: Counted) -> None:
        super().__init__(connection)
        self._counted = counted

    def _send(self, message: bytes, statements: str) -> None:
        self._counted.note(statements)
        super()._send(message, statements)
