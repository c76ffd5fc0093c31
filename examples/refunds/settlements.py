"""Owns the proof that money moved once: refunds as the runs promised them, new orders paid for or cancelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from agentflow.store.reads import StepRecord
from examples.refunds.desk import Case
from examples.refunds.shop.ledger import Entry, Event

PAYMENTS = ("issue_refund", "wire_refund")

_ENDED = {"done": "charged", "failed": "cancelled"}


def payments_of(cases: Sequence[Case]) -> list[StepRecord]:
    """Return the steps that give money back."""
    return [step for case in cases for tool in PAYMENTS for step in case.steps_of(tool)]


def refund_faults(cases: Sequence[Case], shop_log: Sequence[Entry]) -> Iterator[str]:
    """Name what was paid twice, what was promised and not paid, and what was paid for nobody."""
    paid = [entry for entry in shop_log if entry.event == "paid"]
    promised = {step.idempotency_key for step in payments_of(cases) if step.status == "ok"}
    for order_id, times in Counter(entry.order_id for entry in paid).items():
        if times > 1:
            yield f"order {order_id} was refunded {times} times"
    for key in sorted(promised - {entry.key for entry in paid}):
        yield f"the refund {key!r} is recorded, and the shop never made it"
    for key in sorted({entry.key for entry in paid} - promised):
        yield f"the shop made the refund {key!r}, and no run knows of it"


def order_faults(cases: Sequence[Case], shop_log: Sequence[Entry]) -> Iterator[str]:
    """Name the new orders that are twice there, nobody's, or neither paid for nor cancelled."""
    known = {case.order_id: case for case in cases if case.customer.agent == "checkout"}
    placed = Counter(entry.order_id for entry in shop_log if entry.event == "ordered")
    for case in known.values():
        if case.order_id not in placed:
            yield f"the order of {case.customer.name} was never placed"
    for order_id in placed:
        if order_id not in known:
            yield f"the shop has the order {order_id}, and no run knows of it"
            continue
        ended, counts = _ENDED.get(known[order_id].run.status), _counts(shop_log, order_id)
        for event in ("charged", "cancelled"):
            if counts[event] != int(event == ended):
                yield f"order {order_id} was {event} {counts[event]} times, and its run is {known[order_id].run.status}"


def _counts(shop_log: Sequence[Entry], order_id: str) -> Counter[Event]:
    return Counter(entry.event for entry in shop_log if entry.order_id == order_id)
