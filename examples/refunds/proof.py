"""Owns the proof: what the agents asked for, beside what the shop and the mail server say was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentflow.store.database import Row
from agentflow.store.reads import StepRecord
from examples.refunds.consequences import Approved, approval_faults, approvals_of, undone_cases, verified_steps
from examples.refunds.customers import Buyer
from examples.refunds.deliveries import WRITERS, arrival_faults, arrivals_of, queue_faults
from examples.refunds.desk import Case
from examples.refunds.failures import Failure, failures_of
from examples.refunds.patience import early_attempts, early_calls, unlogged_failures
from examples.refunds.post import Letter
from examples.refunds.provider import Overload
from examples.refunds.settlements import PAYMENTS, order_faults, payments_of, refund_faults
from examples.refunds.shop.ledger import Entry

# The shop, or the key, said no and the model was told: nothing was promised.
_REFUSALS = {"tool_error", "bad_input"}


@dataclass(frozen=True, slots=True)
class Line:
    """One order, or one customer without any."""

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
        groups: dict[str, list[Case]] = {}
        for case in self.cases:
            groups.setdefault(case.order_id or case.run.run_id, []).append(case)
        return [self._line(cases) for cases in groups.values()]

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
        missing = [] if self.struck() else ["no worker died in the middle of a refund"]
        missing += [f"the shop turned nobody away with {status}" for status in (429, 503) if status not in statuses]
        missing += ["the model's provider turned nobody away"] if self.overloads == [] else []
        missing += [] if verified_steps(self.cases) else ["no call had to be verified"]
        missing += [] if self.approvals() else ["no refund waited for a person"]
        missing += [] if undone_cases(self.cases) else ["no run was undone"]
        put_off = any(each.event == "put off" for each in self.letters or ())
        return missing + ([] if put_off else ["the mail server put no e-mail off"])

    def failures(self) -> list[Failure]:
        """Return every attempt that failed, and what was done about it."""
        return failures_of(self.cases)

    def approvals(self) -> list[Approved]:
        """Return what a person was asked about."""
        return approvals_of(self.cases, self.asked, self.shop_log)

    def struck(self) -> list[Case]:
        """Return the runs whose worker died before the answer to their refund was recorded."""
        return [case for case in self.cases if any(map(_was_lost, payments_of([case])))]

    def _line(self, cases: Sequence[Case]) -> Line:
        order_id, run_ids = cases[0].order_id, {case.run.run_id for case in cases}
        log = [entry for entry in self.shop_log if entry.order_id == order_id]
        queued = [row for row in self.outbox if str(row["run_id"]) in run_ids]
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
            arrived=arrivals_of(queued, self.letters or ()),
        )

    def _unfinished(self) -> Iterator[str]:
        for case in self.cases:
            undone = isinstance(case.customer, Buyer) and case.run.compensation == "done"
            if case.run.status != "done" and not undone:
                why = (case.run.error or {}).get("message") or case.run.stop_requested or case.run.waiting_reason
                yield f"the run of {case.customer.name} is {case.run.status}" + (f": {why}" if why else "")

    def _broken(self) -> Iterator[str]:
        for tool in (*PAYMENTS, *WRITERS):
            for step in self._steps(tool):
                error = step.error or {}
                if step.status != "ok" and error.get("kind") not in _REFUSALS:
                    yield f"a step of {tool!r} is {step.status}: {error.get('message')}"

    def _steps(self, tool: str) -> list[StepRecord]:
        return [step for case in self.cases for step in case.steps_of(tool)]


def _was_lost(step: StepRecord) -> bool:
    return any(each["status"] == "lost" for each in step.tries)
