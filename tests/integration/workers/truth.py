"""Owns the tests' own look into the database, beside the client's: each statement on a new connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from agentflow.client.handle import RunHandle
from agentflow.store.database import Row, probe_engine

# Nothing in it is unique, so that what is written twice shows.
_BOOKS = "create table public.entries (run_id uuid not null, step_index int not null, attempt int not null)"
_UNFINISHED = """
    select r.run_id::text, r.agent, r.status, r.waiting_reason, s.step_index, s.tool_name, s.status as step, s.attempt
    from agentflow.agent_runs r left join agentflow.agent_steps s on s.run_id = r.run_id and s.finished_at is null
    where r.run_id = any(cast(:ids as uuid[])) and r.finished_at is null
"""
_ENDINGS = """
    select status, count(*) as runs from agentflow.agent_runs where run_id = any(cast(:ids as uuid[])) group by status
"""


class Truth:
    """One migrated database, with a table for the tools' transactional effects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = probe_engine(url)
        self.rows(_BOOKS)

    def rows(self, statement: str, /, **parameters: Any) -> list[Row]:
        """Run a statement and return its rows."""
        with self._engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def is_registered(self, pid: int) -> bool:
        """True where the process is a worker that has registered and not ended."""
        return bool(self.rows("select from agentflow.workers where pid = :pid and stopped_at is null", pid=pid))

    def unfinished(self, handles: Sequence[RunHandle]) -> list[Row]:
        """Return which of the runs go on, and at which of their steps."""
        return self.rows(_UNFINISHED, ids=[handle.run_id for handle in handles])

    def endings(self, handles: Sequence[RunHandle]) -> dict[str, int]:
        """Return how many of the runs ended how."""
        rows = self.rows(_ENDINGS, ids=[handle.run_id for handle in handles])
        return {row["status"]: row["runs"] for row in rows}

    def entries(self, handle: RunHandle) -> int:
        """Return how often a transactional tool wrote into the books for a run."""
        return len(self.rows("select from public.entries where run_id = :id", id=handle.run_id))
