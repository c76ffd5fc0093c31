"""Owns the proof: what the agents asked for, beside what the shop's own log and the outbox say was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentflow.store.database import Row
from agentflow.store.reads import StepRecord
from examples.refunds.desk import Case
from examples.refunds.failures import Failure, failures_of
from examples.refunds.patience import early_attempts, early_calls, unlogged_failures
from examples.refunds.provider import Overload
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


@dataclass(frozen=True, slots=True)
class Evidence:
    """The database's word and the world's. `overloads` is None where a real model thinks; `held` is left of none."""

    cases: Sequence[Case]
    outbox: Sequence[Row]
    shop_log: Sequence[Entry]
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
        done = [*self._unfinished(), *self._broken(), *self._refund_faults(), *self._email_faults()]
        failures = self.failures()
        patience = [*early_attempts(failures), *early_calls(self.shop_log)]
        return [*done, *patience, *unlogged_failures(failures, self.shop_log, self.overloads), *self.held]

    def untried(self) -> list[str]:
        """Name the faults that did not strike: without them nothing was shown."""
        statuses = {entry.status for entry in self.shop_log if entry.event == "refused"}
        missing = [] if self.struck() else ["no worker died in the middle of a refund"]
        missing += [f"the shop turned nobody away with {status}" for status in (429, 503) if status not in statuses]
        return missing + (["the model's provider turned nobody away"] if self.overloads == [] else [])

    def failures(self) -> list[Failure]:
        """Return every attempt that failed, and what was done about it."""
        return failures_of(self.cases)

    def struck(self) -> list[Case]:
        """Return the runs whose worker died before the answer to their refund was recorded."""
        return [case for case in self.cases if any(map(_was_lost, case.steps_of("issue_refund")))]

    def _line(self, cases: Sequence[Case]) -> Line:
        order_id, run_ids = cases[0].order_id, {case.run.run_id for case in cases}
        log = [entry for entry in self.shop_log if entry.order_id == order_id]
        return Line(
            order_id=order_id,
            customers=tuple(case.customer.name for case in cases),
            tickets=sum(case.customer.times for case in cases),
            runs=len(run_ids),
            asked=sum(len(case.steps_of("issue_refund")) for case in cases),
            calls=sum(entry.event == "asked" for entry in log),
            refused=sum(entry.event == "refused" and bool(entry.key) for entry in log),
            paid=sum(entry.event == "paid" for entry in log),
            paid_cents=sum(entry.amount_cents for entry in log if entry.event == "paid"),
            emails=sum(str(row["run_id"]) in run_ids for row in self.outbox),
        )

    def _unfinished(self) -> Iterator[str]:
        for case in self.cases:
            if case.run.status != "done":
                why = (case.run.error or {}).get("message") or case.run.stop_requested or case.run.waiting_reason
                yield f"the run of {case.customer.name} is {case.run.status}" + (f": {why}" if why else "")

    def _refund_faults(self) -> Iterator[str]:
        paid = [entry for entry in self.shop_log if entry.event == "paid"]
        promised = {step.idempotency_key for step in self._steps("issue_refund") if step.status == "ok"}
        for order_id, times in Counter(entry.order_id for entry in paid).items():
            if times > 1:
                yield f"order {order_id} was refunded {times} times"
        for key in sorted(promised - {entry.key for entry in paid}):
            yield f"the refund {key!r} is recorded, and the shop never made it"
        for key in sorted({entry.key for entry in paid} - promised):
            yield f"the shop made the refund {key!r}, and no run knows of it"

    def _broken(self) -> Iterator[str]:
        for tool in ("issue_refund", "send_customer_email"):
            for step in self._steps(tool):
                error = step.error or {}
                if step.status != "ok" and error.get("kind") not in _REFUSALS:
                    yield f"a step of {tool!r} is {step.status}: {error.get('message')}"

    def _email_faults(self) -> Iterator[str]:
        queued = Counter((str(row["run_id"]), row["step_index"]) for row in self.outbox)
        written = {
            (case.run.run_id, step.step_index)
            for case in self.cases
            for step in case.steps_of("send_customer_email")
            if step.status == "ok"
        }
        for place in sorted(written | set(queued)):
            if queued[place] != 1 or place not in written:
                yield f"step {place[1]} of run {place[0]} queued {queued[place]} e-mails"

    def _steps(self, tool: str) -> list[StepRecord]:
        return [step for case in self.cases for step in case.steps_of(tool)]


def _was_lost(step: StepRecord) -> bool:
    return any(each["status"] == "lost" for each in step.tries)
