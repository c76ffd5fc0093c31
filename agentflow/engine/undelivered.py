"""What is written of messages that were not delivered, and who is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import structlog

from agentflow.domain.delivery import DeliveryAttempt, DeliveryStatus
from agentflow.domain.outcome import Failed
from agentflow.domain.response import GiveUp, LeaveInDoubt, RefreshCredential, Response, Retry, StopRun
from agentflow.engine.failures import error_of
from agentflow.store import deliveries, outbox
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Database, Transaction

log = structlog.get_logger("agentflow.outbox")

# Who can't deliver a kind looks at it again so much later.
UNSERVED_S = 60.0
# Why a kind's messages wait that can't be delivered.
UNSERVED, UNCONFIGURED = "unserved", "unconfigured"


def write_failure(tx: Transaction, attempt: DeliveryAttempt, failed: Failed, response: Response) -> bool:
    """Write what a failure comes to, if the attempt is still the one that counts; tell a person where one is needed."""
    error = error_of(failed) or {}
    match response:
        case Retry(after_s):
            error = {**error, "retry_in_s": round(after_s, 3)}
            return deliveries.fail(tx, attempt, DeliveryStatus.PENDING, error, after_s=after_s)
        case LeaveInDoubt():
            return _end(tx, attempt, DeliveryStatus.IN_DOUBT, error, "is in doubt")
        case StopRun(reason):
            return _end(tx, attempt, DeliveryStatus.FAILED, {**error, "reason": reason}, f"has failed ({reason})")
        case GiveUp() | RefreshCredential():
            return _end(tx, attempt, DeliveryStatus.FAILED, error, "has failed")
    assert_never(response)


def put_off_kind(database: Database, kind: str, why: str, message: str, *, after_s: float = UNSERVED_S) -> None:
    """Have a kind's messages wait for whoever can deliver them, and tell a person, once."""

    def body(tx: Transaction) -> Iterable[str]:
        tenants = outbox.put_off_kind(tx, kind, after_s=after_s, error={"kind": why, "message": message})
        for tenant in tenants:
            raise_alert(tx, tenant, f"outbox_{why}:{kind}", f"messages of kind {kind!r} wait: {message}")
        return tenants

    if database.atomically(body):
        log.warning("kind_put_off", kind=kind, reason=why, message=message)


def tell_late(database: Database, attempt: DeliveryAttempt) -> None:
    """Tell a person of a message that left, and that was in other hands when that was to be recorded."""
    message = f"message {attempt.message_id} of kind {attempt.kind!r} was delivered after it had been given up"

    def body(tx: Transaction) -> None:
        cause, topic = f"outbox_late:{attempt.message_id}", f"outbox_late:{attempt.kind}"
        run_id, step_index = attempt.run_id, attempt.step_index
        raise_alert(tx, attempt.tenant, cause, message, topic=topic, run_id=run_id, step_index=step_index)

    database.atomically(body)


def _end(
    tx: Transaction, attempt: DeliveryAttempt, status: DeliveryStatus, error: Mapping[str, Any], what: str
) -> bool:
    if not deliveries.fail(tx, attempt, status, error):
        return False
    raise_alert(
        tx,
        attempt.tenant,
        f"outbox_{status}:{attempt.message_id}",
        f"message {attempt.message_id} of kind {attempt.kind!r} {what}: {error['message']}",
        topic=f"outbox_{status}:{attempt.kind}",
        run_id=attempt.run_id,
        step_index=attempt.step_index,
    )
    return True
