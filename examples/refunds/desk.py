"""Owns the tickets of the demo: submitting them, and seeing what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agentflow import Client
from agentflow.store.reads import RunRecord, StepRecord
from examples.refunds.customers import Customer

_WAITING = {"waiting_tool", "waiting_human"}
_UNDELIVERED = {"pending", "claimed", "sending"}


@dataclass(frozen=True, slots=True)
class Case:
    """One run, its steps, and the customers' tickets that it answers."""

    customer: Customer
    run: RunRecord
    steps: Sequence[StepRecord]

    @property
    def order_id(self) -> str | None:
        """The order that the agent found in the ticket, or that the customer's checkout placed."""
        found = (step.input["order_id"] for step in self.steps_of("lookup_order"))
        placed = (step.output["order_id"] for step in self.steps_of("place_order") if step.status == "ok")
        return next((str(order_id) for order_id in (*found, *placed)), None)

    def steps_of(self, tool: str) -> list[StepRecord]:
        """Return a tool's steps."""
        return [step for step in self.steps if step.tool_name == tool]


class HelpDesk:
    """Knows which run answers whom."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._customers: dict[str, Customer] = {}
        self._ended: set[str] = set()
        self._waiting: dict[str, str | None] = {}

    def submit(self, customers: Sequence[Customer]) -> Iterator[tuple[Customer, bool]]:
        """Submit what each customer wants; yield the customer of each and whether it became a new run."""
        for customer in customers:
            for _ in range(customer.times):
                handle = self._client.submit(
                    customer.agent, customer.input, idempotency_key=customer.ticket_key, user=customer.address
                )
                self._customers[handle.run_id] = customer
                yield customer, handle.created

    def newly_ended(self) -> list[tuple[Customer, RunRecord]]:
        """Return the runs that ended since this was asked last."""
        runs = self._client.list()
        self._waiting = {run.run_id: run.waiting_reason for run in runs if run.status in _WAITING}
        ended = [run for run in runs if run.is_final and run.run_id not in self._ended]
        self._ended |= {run.run_id for run in ended}
        ended.sort(key=lambda run: run.finished_at or run.created_at)
        return [(self._customers[run.run_id], run) for run in ended]

    def is_waiting(self, order_id: str, reason: str) -> bool:
        """True if the run for an order was parked for that reason when `newly_ended` was asked last."""
        found = [why for run_id, why in self._waiting.items() if self._customers[run_id].order_id == order_id]
        return reason in found

    @property
    def all_ended(self) -> bool:
        """True once every run that was seen to end is every run."""
        return len(self._ended) == len(self._customers)

    def mail_is_at_rest(self) -> bool:
        """True while no e-mail is due or on its way: each has arrived, or waits for a later time."""
        now = datetime.now(UTC)
        open_ = [row for row in self._client.outbox() if row["status"] in _UNDELIVERED]
        return all(row["status"] == "pending" and row["next_attempt_at"] > now for row in open_)

    def mail_is_delivered(self) -> bool:
        """True once no e-mail waits for anything."""
        return not any(row["status"] in _UNDELIVERED for row in self._client.outbox())

    def cases(self) -> list[Case]:
        """Return every run, in the order of the tickets."""
        return [
            Case(customer, self._client.get(run_id), self._client.steps(run_id))
            for run_id, customer in self._customers.items()
        ]
