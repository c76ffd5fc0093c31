"""What is left over of runs that were pruned: it is found and deleted in pages, beside those who use the tables.

Business keys are never among it: without its record, an effect would happen again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from agentflow.store.partitions import id_at
from agentflow.store.short_locks import patiently
from agentflow.store.statements import Statements

_PAGE = 5_000


def delete_left_over(connection: Connection, schema: str, before: datetime, patience_s: float) -> Mapping[str, int]:
    """Delete what only runs from before a time needed, and return how many rows, by table. Raises NoMoment."""
    return _LeftOver(connection, schema, before).delete(patience_s)


@dataclass(frozen=True, slots=True)
class _LeftOver:
    connection: Connection
    schema: str
    before: datetime

    def delete(self, patience_s: float) -> Mapping[str, int]:
        return {
            "agent_runs": self._pages("prune_strays"),
            "run_keys": self._in_order("prune_run_keys", ""),
            "messages": self._messages(patience_s),
            "conversations": self._once("prune_conversations"),
            "alerts": self._once("prune_alerts"),
            "pages": self._once("prune_pages"),
        }

    def _messages(self, patience_s: float) -> int:
        """Take messages away, wait for whoever may have seen them before, and put back what those came to refer to.

        A recording asks which messages are there and inserts the others: what it saw it may refer to later.
        """
        if self._once("has_leaving"):
            # An earlier pruning was stopped in the middle.
            self._forget_taken(patience_s)
        self._once("survey_messages")
        self._in_order("take_messages", b"")
        return self._forget_taken(patience_s)

    def _forget_taken(self, patience_s: float) -> int:
        patiently(self.connection, self._await_readers, patience_s)
        with self.connection.begin():
            restored = self._run("restore_messages")
            return self._run("forget_messages") - restored

    def _await_readers(self) -> None:
        with self.connection.begin():
            self.connection.execute(text(f'lock table "{self.schema}".messages in access exclusive mode'))

    def _pages(self, statement: str) -> int:
        deleted = 0
        while count := self._once(statement):
            deleted += count
        return deleted

    def _once(self, statement: str) -> int:
        with self.connection.begin():
            return self._run(statement)

    def _in_order(self, statement: str, last: str | bytes) -> int:
        """Go through a table page by page, in the order of its keys after the smallest; return how many rows went."""
        deleted, after = 0, {"tenant": "", "last": last}
        while rows := self._page(statement, after):
            deleted += rows[0]["deleted"]
            after = {"tenant": rows[0]["tenant"], "last": rows[0]["last"]}
        return deleted

    def _page(self, statement: str, after: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        with self.connection.begin():
            return self._rows(statement, page=_PAGE, until=id_at(self.before), **after)

    def _run(self, statement: str) -> int:
        query = Statements.load(self.schema)[statement]
        return self.connection.exec_driver_sql(query, {"before": self.before, "page": _PAGE}).rowcount

    def _rows(self, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        query = Statements.load(self.schema)[statement]
        return [dict(row) for row in self.connection.exec_driver_sql(query, parameters).mappings()]
