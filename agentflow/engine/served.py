"""Owns which queues live workers serve, asked once in each sweep."""

from __future__ import annotations

from agentflow.store import workers
from agentflow.store.database import Database


class ServedQueues:
    """The queues as they were when somebody first asked in this sweep."""

    def __init__(self, database: Database, dead_s: float) -> None:
        self._database = database
        self._dead_s = dead_s
        self._known: frozenset[str] | None = None

    def forget(self) -> None:
        """Ask again: the sweep is over."""
        self._known = None

    def has(self, queue: str) -> bool:
        """True for a queue that a live worker serves."""
        if self._known is None:
            self._known = self._database.glance(lambda tx: workers.served_queues(tx, self._dead_s))
        return queue in self._known
