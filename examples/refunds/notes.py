"""Owns what is said of the proof in words: which lines tell of a failure, and how that went."""

from __future__ import annotations

from collections.abc import Iterator

from examples.refunds.consequences import undone_cases, verified_steps
from examples.refunds.deliveries import arrival_faults
from examples.refunds.payments import APPROVED_ABOVE_CENTS
from examples.refunds.proof import Evidence
from examples.refunds.story import dollars
from examples.refunds.tally import Line


def notes(evidence: Evidence) -> Iterator[str]:
    """Say what is to be seen in the table of the proof."""
    for line in evidence.lines():
        yield from _of_line(line)
    yield from _of_consequences(evidence)
    if evidence.letters is not None and not list(arrival_faults(evidence.outbox, evidence.letters)):
        yield f"{len(evidence.outbox)} e-mails went out, and the mail server took each of them once, by its Message-ID."


def _of_line(line: Line) -> Iterator[str]:
    label = line.order_id or line.customers[0]
    if line.tickets > line.runs:
        yield f"{label}: submitted {line.tickets} times under one key, and one run it is."
    if line.asked > line.paid == 1:
        yield f"{label}: asked for by {line.asked} runs under one key, and paid once."
    if line.refused and line.paid == 1:
        yield f"{label}: turned away with 429. Asked again in its time, under the same key, and paid once."
    if line.calls - line.refused > line.paid == 1:
        yield f"{label}: the worker died after the payment. Asked again, under the same key, and paid once."


def _of_consequences(evidence: Evidence) -> Iterator[str]:
    for case, step in verified_steps(evidence.cases):
        if step.status == "ok" and len(step.tries) == 1:
            yield f"{case.order_id}: paid, and no answer in time. Verified, not repeated: paid once."
    for each in evidence.approvals():
        if each.asked["status"] == "approved":
            limit = dollars(APPROVED_ABOVE_CENTS)
            yield f"{each.case.order_id}: above {limit}. Made after {each.asked['decided_by']} approved it, not before."
    for case in undone_cases(evidence.cases):
        yield f"{case.order_id}: the card was declined, the order is cancelled, nothing was charged."
