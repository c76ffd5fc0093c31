"""Owns the tally: per order, what was asked for beside what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.store.database import Row
from examples.refunds.deliveries import arrivals_of
from examples.refunds.desk import Case
from examples.refunds.post import Letter
from examples.refunds.settlements import payments_of
from examples.refunds.shop.ledger import Entry


@dataclass(frozen=True, slots=True)
class Line:
    """One order, or one customer without any. `emails` went out, and `arrived` of them came in."""

    order_id: str | None
    customers: tuple[str, ...]
    tickets: int
    runs: int
    asked: int
    calls: int
    refused: int
    paid: int
    paid_cents: int
    emails: int
    arrived: int


def tally(
    cases: Sequence[Case], outbox: Sequence[Row], shop_log: Sequence[Entry], letters: Sequence[Letter]
) -> list[Line]:
    """Return a line per order, in the order of the tickets."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.order_id or case.run.run_id, []).append(case)
    return [_line(group, outbox, shop_log, letters) for group in groups.values()]


def _line(cases: Sequence[Case], outbox: Sequence[Row], shop_log: Sequence[Entry], letters: Sequence[Letter]) -> Line:
    order_id, run_ids = cases[0].order_id, {case.run.run_id for case in cases}
    log = [entry for entry in shop_log if entry.order_id == order_id]
    queued = [row for row in outbox if str(row["run_id"]) in run_ids]
    return Line(
        order_id=order_id,
        customers=tuple(case.customer.name for case in cases),
        tickets=sum(case.customer.times for case in cases),
        runs=len(run_ids),
        asked=len(payments_of(cases)),
        calls=sum(entry.event == "asked" for entry in log),
        refused=sum(entry.event == "refused" and bool(entry.key) for entry in log),
        paid=sum(entry.event == "paid" for entry in log),
        paid_cents=sum(entry.amount_cents for entry in log if entry.event == "paid"),
        emails=len(queued),
        arrived=arrivals_of(queued, letters),
    )
