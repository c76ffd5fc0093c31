"""Commits whose answer never comes: the server has committed, and the connection is cut before it can say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

from agentflow.store.database import Database, probe_engine
from agentflow.store.wire import Wire


class LostAnswers:
    """Cuts a database's connections right after, or right before, their next commits."""

    def __init__(self, database: Database) -> None:
        self.url = database.url
        self._before = 0
        self._left = 0
        self._committed = True
        self._meanwhile: Callable[[], object] | None = None
        self.lost = 0
        database.wire = lambda connection: _LossyWire(connection, self)

    def lose_next(
        self,
        times: int = 1,
        *,
        after: int = 0,
        committed: bool = True,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Lose some answers, `after` others; `meanwhile` happens before anybody reads what became of the commit."""
        self._before, self._left, self._committed, self._meanwhile = after, times, committed, meanwhile

    def takes_next(self) -> bool:
        """Answer whether the next commit is one whose answer is lost, and count it."""
        if self._before or not self._left:
            self._before = max(0, self._before - 1)
            return False
        self._left -= 1
        self.lost += 1
        return True

    def cut(self, pid: int, commit: Callable[[], None]) -> None:
        """Commit or not, and cut the connection."""
        if self._committed:
            commit()
        with probe_engine(self.url).connect() as other:
            other.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        if self._meanwhile is not None:
            self._meanwhile()


class _LossyWire(Wire):
    def __init__(self, connection: Connection, answers: LostAnswers) -> None:
        super().__init__(connection)
        self._answers = answers
        self._connection_to_cut: Any = connection.connection.dbapi_connection

    def commit(self) -> None:
        if not self._answers.takes_next():
            super().commit()
            return
        self._answers.cut(self._connection_to_cut.get_backend_pid(), super().commit)
        # The dead connection raises what a lost answer does.
        self.run("select 1", {})
