"""Commits whose answer never comes: the server has committed, and the connection is cut before it can say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from agentflow.store.database import Database, probe_engine


class LostAnswers:
    """Cuts a database's connections right after, or right before, their next commits."""

    def __init__(self, database: Database) -> None:
        self._url = database.url
        self._commit = database.engine.dialect.do_commit
        self._before = 0
        self._left = 0
        self._committed = True
        self._meanwhile: Callable[[], object] | None = None
        self.lost = 0
        database.engine.dialect.do_commit = self._cut_off  # type: ignore[method-assign, assignment]

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

    def _cut_off(self, connection: Any) -> None:
        if self._before or not self._left:
            self._before = max(0, self._before - 1)
            self._commit(connection)
            return
        self._left -= 1
        self.lost += 1
        if self._committed:
            self._commit(connection)
        with probe_engine(self._url).connect() as other:
            other.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": connection.get_backend_pid()})
        if self._meanwhile is not None:
            self._meanwhile()
        # The dead connection raises what a lost answer does.
        connection.cursor().execute("select 1")
