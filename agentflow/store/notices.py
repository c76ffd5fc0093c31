"""Notices in Postgres: messages of the outbox that a run itself sends, numbered under its lock."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.domain.outcome import OutboxMessage
from agentflow.store import outbox
from agentflow.store.database import Transaction

# Notices are about no step.
_NO_STEP = -1


def queue(tx: Transaction, messages: Sequence[OutboxMessage], *, tenant: str, run_id: str) -> None:
    """Queue notices of a locked run."""
    if not messages:
        return
    row = tx.row("next_notice", run_id=run_id)
    first_item = row["item"] if row else 0
    outbox.queue(tx, messages, tenant=tenant, run_id=run_id, step_index=_NO_STEP, first_item=first_item)
