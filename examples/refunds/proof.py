"""Owns the proof: what the agents asked for, beside what the shop and the mail server say was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentflow.store.database import Row
from agentflow.store.reads import StepRecord
from examples.refunds.consequences import Approved, approval_faults, approvals_of, undone_cases, verified_steps
from examples.refunds.customers import Buyer
from examples.refunds.deliveries import WRITERS, arrival_faults, queue_faults
from examples.refunds.desk import Case
from examples.refunds.failures import Failure, failures_of
from examples.refunds.patience import early_attempts, early_calls, unlogged_failures
from examples.refunds.post import Letter
from examples.refunds.provider import Overload
from examples.refunds.settlements import PAYMENTS, order_faults, payments_of, refund_faults
from examples.refunds.shop.ledger import Entry
from examples.refunds.tally import Line, tally

# The shop, or the key, said no and the model was told: nothing was promised.
_REFUSALS = {"tool_error", "bad_input"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The database's word and the world's.

    `letters` is None where no mail server is, `overloads` where a real model thinks; `held` is left of none.
    """

    cases: Sequence[Case]
    outbox: Sequence[Row]
    shop_log: Sequence[Entry]
    asked: Sequence[Row] = ()
    letters: Sequence[Letter] | None = None
    overloads: Sequence[Overload] | None = None
    held: Sequence[str] = ()

    def lines(self) -> list[Line]:
        """Return what was asked for and what was done, by order."""
        return tally(self.cases, self.outbox, self.shop_log, self.letters or ())

    def faults(self) -> list[str]:
        """Name everything that is there twice, or missing, or nobody's, or came too early, or is still held."""
        cases, log, failures = self.cases, self.shop_log, self.failures()
        return [
            *self._unfinished(),
            *self._broken(),
            *refund_faults(cases, log),
            *order_faults(cases, log),
            *approval_faults(cases, self.approvals()),
            *queue_faults(cases, self.outbox),
            *(() if self.letters is None else arrival_faults(self.outbox, self.letters)),
            *early_attempts(failures),
            *early_calls(log),
            *unlogged_failures(failures, log, self.overloads),
            *self.held,
        ]

    def untried(self) -> list[str]:
        """Name the faults that did not strike: without them nothing was shown."""
        statuses = {entry.status for entry in self.shop_log if entry.event == "refused"}
        has_struck = {
            "no worker died in the middle of a refund": bool(self.struck()),
            "the shop turned nobody away with 429": 429 in statuses,
            "the shop turned nobody away with 503": 503 in statuses,
            "the model's provider turned nobody away": self.overloads != [],
            "no call had to be verified": bool(verified_steps(self.cases)),
            "no refund waited for a person": bool(self.approvals()),
            "no run was undone": bool(undone_cases(self.cases)),
            "the mail server put no e-mail off": any(each.event == "put off" for each in self.letters or ()),
        }
        return [missing for missing, struck in has_struck.items() if not struck]

    def failures(self) -> list[Failure]:
        """Return every attempt that failed, and what was done about it."""
        return failures_of(self.cases)

    def approvals(self) -> list[Approved]:
        """Return what a person was asked about."""
        return approvals_of(self.cases, self.asked, self.shop_log)

    def struck(self) -> list[Case]:
        """Return the runs whose worker died before the answer to their refund was recorded."""
        return [case for case in self.cases if any(map(_was_lost, payments_of([case])))]

    def _unfinished(self) -> Iterator[str]:
        for case in self.cases:
            is_undone = isinstance(case.customer, Buyer) and case.run.compensation == "done"
            if case.run.status != "done" and not is_undone:
                why = (case.run.error or {}).get("message") or case.run.stop_requested or case.run.waiting_reason
                yield f"the run of {case.customer.name} is {case.run.status}" + (f": {why}" if why else "")

    def _broken(self) -> Iterator[str]:
        for step in (step for case in self.cases for tool in (*PAYMENTS, *WRITERS) for step in case.steps_of(tool)):
            error = step.error or {}
            if step.status != "ok" and error.get("kind") not in _REFUSALS:
                yield f"a step of {step.tool_name!r} is {step.status}: {error.get('message')}"


def _was_lost(step: StepRecord) -> bool:
    return any(each["status"] == "lost" for each in step.tries)
