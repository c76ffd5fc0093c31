"""The relay: messages of one kind leave in batches, each committed as being sent just before it is handed over.

    claim      a batch, for a while: pending -> claimed
    enter      the gate, message by message; a denied one waits, and those with it that would be denied too
    hand over  one commit: the message before is sent, this one is `sending`, attempt + 1, with a lease of its own
    deliver    under a dead man's timer, bounded by the kind's timeout
    record     sent, with the next hand-over; else at once: pending again, failed, or in doubt

A crash leaves one message `sending` at most; what else was claimed goes back unharmed (relay_recovery.py).
"""

from __future__ import annotations

from agentflow.declare.delivery import DeliveryKind
from agentflow.domain.delivery import ClaimedDelivery
from agentflow.domain.hint import relay_hint
from agentflow.domain.outcome import Completed, Failed
from agentflow.domain.waiting import Denial
from agentflow.engine import relay_gate
from agentflow.engine.deadman import boottime
from agentflow.engine.handover import deliver
from agentflow.engine.relay_batch import Batch, lease_s
from agentflow.engine.runtime import Runtime
from agentflow.engine.undelivered import UNCONFIGURED, UNSERVED, put_off_kind
from agentflow.gate.protocol import Denied

# After so long a relay gives its place to others, and asks for another turn.
TURN_S = 10.0


def relay_kind(runtime: Runtime, name: str) -> None:
    """Deliver what is due of a kind, for a turn at most; publish a hint where there is more."""
    kind = (runtime.deliveries or {}).get(name)
    if kind is None:
        why = f"a worker does not know {name!r}: declare it with @delivery in a module of AGENTFLOW_AGENTS"
        put_off_kind(runtime.database, name, UNSERVED, why)
    elif kind.unconfigured is not None:
        put_off_kind(runtime.database, name, UNCONFIGURED, kind.unconfigured)
    elif kind.effect.needs_process and not runtime.isolated:
        why = f"{str(kind.effect)!r} messages need a pool of processes, and a worker serves them with threads"
        put_off_kind(runtime.database, name, UNSERVED, why)
    elif _relay(runtime, kind):
        runtime.hints.publish([relay_hint(name)])


def turn_limit_s(kind: DeliveryKind) -> float:
    """Return the longest that a relay's turn may take, its last delivery and record included."""
    return TURN_S + lease_s(kind)


def _relay(runtime: Runtime, kind: DeliveryKind) -> bool:
    """Deliver until nothing is due, nothing may leave, or the turn is over; return whether there may be more."""
    end = boottime() + TURN_S
    while boottime() < end:
        batch = Batch.claim(runtime, kind)
        if not batch.rest or not _relay_batch(runtime, kind, batch, end):
            return False
    return True


def _relay_batch(runtime: Runtime, kind: DeliveryKind, batch: Batch, end: float) -> bool:
    """Deliver a batch as far as the turn goes; return False where the gate lets nothing of the kind through."""
    is_open = True
    try:
        while batch.rest and is_open and boottime() < end:
            is_open = _relay_one(runtime, kind, batch, batch.rest.popleft())
        batch.close()
    finally:
        batch.disarm()
    return is_open


def _relay_one(runtime: Runtime, kind: DeliveryKind, batch: Batch, claimed: ClaimedDelivery) -> bool:
    runtime.reached("before_sending")
    admitted = relay_gate.enter(runtime, kind, claimed)
    if isinstance(admitted, Denied):
        return _turn_away(kind, batch, claimed, admitted)
    outcome: Completed | Failed | None = None
    try:
        outcome = _send(runtime, kind, batch, claimed)
    finally:
        relay_gate.leave(runtime, admitted, outcome)
    return True


def _send(runtime: Runtime, kind: DeliveryKind, batch: Batch, claimed: ClaimedDelivery) -> Completed | Failed | None:
    """Hand a message over and record what came of it; None where it was not handed over."""
    began = boottime()
    if not batch.hand_over(claimed, began):
        return None
    runtime.reached("after_sending")
    outcome = deliver(runtime, kind, claimed, until=batch.deadline(began))
    runtime.reached("after_delivery")
    if isinstance(outcome, Completed):
        batch.keep(claimed, outcome.output)
    else:
        batch.fail(claimed, outcome, began)
    return outcome


def _turn_away(kind: DeliveryKind, batch: Batch, claimed: ClaimedDelivery, denied: Denied) -> bool:
    """Put off a message that the gate denies, and those that it would deny too; return whether others may go."""
    alike = batch.take(lambda other: relay_gate.concerns(kind, denied, claimed, other))
    if denied.reason is Denial.POOL_FULL:
        # Other processes of this very worker are at it, and go on with what is due.
        batch.put_back([claimed, *alike])
    else:
        message = f"the gate of {kind.bulkhead!r} lets nothing through just now"
        batch.put_back([claimed, *alike], denied.after_s, {"kind": str(denied.reason), "message": message})
    return not relay_gate.concerns_all(kind, denied)
