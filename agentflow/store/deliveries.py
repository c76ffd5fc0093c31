"""Deliveries in Postgres: messages claimed by a relay, handed over, recorded and given back, each behind its token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain import payload
from agentflow.domain.delivery import (
    ClaimedDelivery,
    DeliveryAttempt,
    DeliveryStatus,
    before,
)
from agentflow.domain.identity import Worker
from agentflow.domain.step import Effect
from agentflow.store.database import Row, Transaction

_NOBODY: Mapping[str, Any] = {"run_id": None, "message_id": None, "attempt": 0}


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What `hand_over` found: whether the one is recorded as sent, and whether the next may be sent now."""

    is_sent: bool
    is_sending: bool


def claim(
    tx: Transaction, kind: str, bulkhead: str, *, token: str, worker: Worker, lease_s: float, most: int
) -> Sequence[ClaimedDelivery]:
    """Claim a batch of a kind's messages that are due, oldest first; none while an operator holds the bulkhead."""
    rows = tx.rows(
        "claim_outbox",
        kind=kind,
        bulkhead=bulkhead,
        claim_token=token,
        worker_id=worker.worker_id,
        worker_pid=worker.pid,
        lease_s=lease_s,
        most=most,
    )
    ordered = sorted(rows, key=lambda row: (row["created_at"], row["item"]))
    return [ClaimedDelivery(attempt_of(row, row["attempt"] + 1, token), row["payload"]) for row in ordered]


def hand_over(
    tx: Transaction,
    sent: DeliveryAttempt | None,
    response: Any,
    following: DeliveryAttempt | None,
    *,
    token: str,
    bulkhead: str,
    effect: Effect = Effect.UNSAFE,
    lease_s: float = 0.0,
) -> HandedOver:
    """Record one message as sent and the next of its batch as being sent: one statement, and so one commit.

    Safe to run again: what a commit without an answer has done already is found done.
    """
    begun = _place(following) if following else _NOBODY
    row = tx.row(
        "hand_over",
        **begun,
        effect=effect,
        lease_s=lease_s,
        sent_run_id=sent.run_id if sent else None,
        sent_id=sent.message_id if sent else None,
        sent_attempt=sent.attempt if sent else None,
        response=None if response is None else payload.dumps(response),
        claim_token=token,
        bulkhead=bulkhead,
        before_sent=before(DeliveryStatus.SENT),
        before_sending=before(DeliveryStatus.SENDING),
    )
    assert row is not None
    return HandedOver(row["is_sent"], row["is_sending"])


def fail(
    tx: Transaction, attempt: DeliveryAttempt, status: DeliveryStatus, error: Mapping[str, Any], *, after_s: float = 0.0
) -> bool:
    """Write how an attempt failed, if it is still the one that counts. Pending messages are due `after_s` from now."""
    failures = {**attempt.failures, error["kind"]: attempt.failures.get(error["kind"], 0) + 1}
    return bool(
        tx.run(
            "fail_delivery",
            **_place(attempt),
            claim_token=attempt.token,
            status=status,
            error=payload.dumps(payload.sanitise(error).value),
            failures=payload.dumps(failures),
            after_s=after_s,
            before=before(status),
        )
    )


def put_back(
    tx: Transaction,
    message_ids: Sequence[str],
    token: str,
    *,
    after_s: float = 0.0,
    error: Mapping[str, Any] | None = None,
) -> int:
    """Give claimed messages back that were not handed over; return how many were still ours."""
    written = None if error is None else payload.dumps(error)
    return tx.run("put_back", message_ids=list(message_ids), claim_token=token, after_s=after_s, error=written)


def attempt_of(row: Row, attempt: int, token: str) -> DeliveryAttempt:
    """Return a row as the attempt of this number and token."""
    return DeliveryAttempt(
        message_id=str(row["message_id"]),
        tenant=row["tenant"],
        run_id=str(row["run_id"]),
        step_index=row["step_index"],
        item=row["item"],
        kind=row["kind"],
        attempt=attempt,
        token=token,
        failures=row["failures"],
    )


def _place(attempt: DeliveryAttempt) -> Mapping[str, Any]:
    return {"run_id": attempt.run_id, "message_id": attempt.message_id, "attempt": attempt.attempt}
