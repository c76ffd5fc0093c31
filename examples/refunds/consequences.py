"""Owns the proof of what followed from failures: what was verified, what a person approved, what was undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentflow.domain.step import COMPENSATE, VERIFY
from agentflow.store.database import Row
from agentflow.store.reads import StepRecord
from examples.refunds.desk import Case
from examples.refunds.payments import is_large
from examples.refunds.settlements import PAYMENTS
from examples.refunds.shop.ledger import Entry


@dataclass(frozen=True, slots=True)
class Approved:
    """A call that a person was asked about, and when the shop was first asked for it."""

    case: Case
    step: StepRecord
    asked: Row
    called_at: datetime | None

    @property
    def came_early(self) -> bool:
        """Whether the shop was asked before the person had answered."""
        decided_at = self.asked["decided_at"]
        return self.called_at is not None and (decided_at is None or self.called_at < decided_at)


def verified_steps(cases: Sequence[Case]) -> list[tuple[Case, StepRecord]]:
    """Return the calls of which nobody knew whether they had happened, until they were verified."""
    return [
        (case, case.steps[each.subject_index])
        for case in cases
        for each in case.steps_of(VERIFY)
        if each.status == "ok" and each.subject_index is not None
    ]


def undone_cases(cases: Sequence[Case]) -> list[Case]:
    """Return the runs that were undone."""
    return [case for case in cases if case.run.compensation == "done" and case.steps_of(COMPENSATE)]


def approvals_of(cases: Sequence[Case], asked: Sequence[Row], shop_log: Sequence[Entry]) -> list[Approved]:
    """Return what a person was asked about."""
    by_place = {(str(row["run_id"]), row["step_index"]): row for row in asked}
    found = []
    for case in cases:
        for step in case.steps:
            if row := by_place.get((case.run.run_id, step.step_index)):
                calls = [each.at for each in shop_log if (each.event, each.key) == ("asked", step.idempotency_key)]
                called_at = datetime.fromisoformat(calls[0]) if calls else None
                found.append(Approved(case, step, row, called_at))
    return found


def approval_faults(cases: Sequence[Case], approved: Sequence[Approved]) -> Iterator[str]:
    """Name the large refunds that nobody approved, and those that were made before somebody did."""
    given = {(each.case.run.run_id, each.step.step_index) for each in approved if each.asked["status"] == "approved"}
    for case in cases:
        for step in (step for tool in PAYMENTS for step in case.steps_of(tool)):
            place = (case.run.run_id, step.step_index)
            if step.status == "ok" and is_large(step.input["amount_cents"]) and place not in given:
                yield f"the refund {step.idempotency_key!r} was made, and nobody approved it"
    for each in approved:
        if each.came_early:
            yield f"the shop was asked for {each.step.idempotency_key!r} before a person had approved it"
