"""The outbox in Postgres: messages queued, put off and woken by kind, listed, and moved by a person."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain import payload
from agentflow.domain.delivery import (
    DeliveryStatus,
)
from agentflow.domain.errors import IllegalTransition
from agentflow.domain.hint import Hint, relay_hint
from agentflow.domain.outcome import OutboxMessage
from agentflow.domain.waiting import Denial
from agentflow.store.database import Row, Transaction


def queue(
    tx: Transaction,
    messages: Sequence[OutboxMessage],
    *,
    tenant: str,
    run_id: str,
    step_index: int,
    first_item: int = 0,
) -> list[Hint]:
    """Queue messages of a step, or of the run itself (step -1), in the transaction that causes them.

    Return the hints to publish once it has committed: one for each kind.
    """
    rows = [
        {
            "message_id": str(uuid.uuid4()),
            "tenant": tenant,
            "run_id": run_id,
            "step_index": step_index,
            "item": item,
            "kind": message.kind,
            "payload": payload.dumps(message.payload),
        }
        for item, message in enumerate(messages, first_item)
    ]
    tx.write_each("insert_outbox", rows)
    return [relay_hint(kind) for kind in sorted({message.kind for message in messages})]


def put_off_kind(tx: Transaction, kind: str, *, after_s: float, error: Mapping[str, Any]) -> frozenset[str]:
    """Have everything that is due of a kind wait; return the tenants whose messages those are."""
    rows = tx.rows("put_off_kind", kind=kind, after_s=after_s, error=payload.dumps(error))
    return frozenset(row["tenant"] for row in rows)


def wake(tx: Transaction, message_ids: Sequence[str]) -> int:
    """Make messages due that have waited for room."""
    return tx.run("wake_outbox", message_ids=list(message_ids))


def hasten_behind_breaker(tx: Transaction, bulkheads: Sequence[str]) -> int:
    """Make the messages due that wait for an open breaker; return how many those were."""
    return tx.run("hasten_outbox", bulkheads=list(bulkheads), reason=Denial.BREAKER_OPEN)


def listing(
    tx: Transaction, tenant: str, *, status: str | None, kind: str | None, run_id: str | None, most: int
) -> Sequence[Row]:
    """Return a tenant's messages that fit, the newest first."""
    return tx.rows("list_outbox", tenant=tenant, status=status, kind=kind, run_id=run_id, most=most)


def lock_between(tx: Transaction, tenant: str, first: str, last: str) -> Sequence[Row]:
    """Lock the messages whose ids lie between two, two at most."""
    return tx.rows("lock_deliveries", tenant=tenant, first=first, last=last)


def resolve(tx: Transaction, message_id: str, old: DeliveryStatus, new: DeliveryStatus) -> None:
    """Move a locked message on a person's word. It leaves the hands of whoever was at it."""
    if not tx.run("resolve_delivery", message_id=message_id, before=old, status=new):
        raise IllegalTransition(f"the message {message_id!r} is not {str(old)!r} any more; look at it again")
