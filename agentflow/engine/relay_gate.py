"""A delivery's way through the gate: the bulkhead of its kind, the breaker of what it depends on."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import DBAPIError

from agentflow.declare.delivery import DeliveryKind
from agentflow.domain.delivery import ClaimedDelivery
from agentflow.domain.errors import DatabaseUnavailable
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Completed, Failed
from agentflow.domain.waiting import Denial
from agentflow.engine.relay_batch import lease_s
from agentflow.engine.runtime import Runtime
from agentflow.engine.visiting import QUOTA_HOLD_S, heard_of
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Heard, Verdict, Visitor
from agentflow.store import outbox

log = structlog.get_logger("agentflow.outbox")


def enter(runtime: Runtime, kind: DeliveryKind, claimed: ClaimedDelivery) -> Admitted | Denied:
    """Ask the gate for a message. It stands there under its id, as a step does under its run's."""
    bulkhead = Bulkhead(kind.bulkhead, breaker_of(kind, claimed), kind.limits)
    visitor = Visitor(
        run_id=claimed.attempt.message_id,
        step_index=claimed.attempt.item,
        holder=runtime.worker.worker_id,
        lease_s=lease_s(kind),
        is_retry=claimed.attempt.attempt > 1,
        pool_slots=runtime.pool_slots,
    )
    return runtime.gate.enter(bulkhead, visitor)


def leave(runtime: Runtime, admitted: Admitted, outcome: Completed | Failed | None) -> None:
    """Give the slot back, tell the gate what the delivery came to (None: it was not tried), and wake who waited."""
    heard = Heard(Verdict.UNUSED) if outcome is None else heard_of(outcome)
    waiters = [each.run_id for each in runtime.gate.leave(admitted, heard)]
    if waiters:
        _wake(runtime, waiters)
    if isinstance(outcome, Failed) and outcome.kind == ErrorKind.QUOTA:
        _hold_open(runtime, admitted.bulkhead.breaker)


def concerns_all(kind: DeliveryKind, denied: Denied) -> bool:
    """True where a denial holds for every message of the kind, whatever it depends on."""
    if denied.reason is Denial.BREAKER_OPEN:
        return kind.breaker_of is None
    return denied.reason is not Denial.RETRY_BUDGET


def concerns(kind: DeliveryKind, denied: Denied, turned_away: ClaimedDelivery, other: ClaimedDelivery) -> bool:
    """True where another message would be denied for the same reason now."""
    if denied.reason is Denial.RETRY_BUDGET:
        return other.attempt.attempt > 1
    return concerns_all(kind, denied) or breaker_of(kind, other) == breaker_of(kind, turned_away)


def breaker_of(kind: DeliveryKind, claimed: ClaimedDelivery) -> str:
    """Return the breaker that a message heeds: the kind's own where its payload does not say."""
    try:
        return kind.breaker(claimed.payload)
    except Exception:  # noqa: BLE001 - its delivery will say what is wrong with it, and of it alone
        return kind.bulkhead


def _wake(runtime: Runtime, message_ids: list[str]) -> None:
    try:
        runtime.database.glance(lambda tx: outbox.wake(tx, message_ids))
    except (DatabaseUnavailable, DBAPIError) as error:
        # They are due in any case, a little later.
        log.warning("waiters_not_woken", waiters=len(message_ids), error=type(error).__name__)


def _hold_open(runtime: Runtime, breaker: str) -> None:
    try:
        runtime.gate.hold_open(breaker, QUOTA_HOLD_S, "quota")
    except OSError as error:
        # The next delivery that meets the quota says so again.
        log.warning("breaker_not_held", breaker=breaker, error=str(error))
