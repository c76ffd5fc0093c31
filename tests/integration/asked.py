"""Runs that wait for people: an agent whose refunds want an approval, and what is asked of whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow import Agent, Context, Pipeline, tool
from agentflow.declare.question import ask_person
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands

MODEL = "openai:gpt-4o-mini"
REFUND: dict[str, Any] = {"order_id": "4421", "amount_cents": 5000}
CALLS: list[Mapping[str, Any]] = []


@tool(effect="keyed", key="refund:{order_id}", approval=True, expires_s=3600)
def refund(ctx: Context, order_id: str, amount_cents: int) -> str:
    """Refund an order."""
    CALLS.append({"order_id": order_id, "amount_cents": amount_cents, "key": ctx.idempotency_key})
    return f"refunded {amount_cents}"


@tool(effect="read", approval=lambda amount_cents, to: amount_cents > 1000)
def quote(amount_cents: int, to: str = "") -> int:
    """Quote a price."""
    CALLS.append({"amount_cents": amount_cents})
    return amount_cents


@tool(effect="read")
def note(text: str) -> str:
    """Note something."""
    return text


clerk = Agent("clerk", model=MODEL, tools=[refund, quote, note, ask_person(expires_s=7200)])
lone = Pipeline("lone", [quote])


def a_clerk(harness: Harness, *answers: Any) -> Hands:
    """A worker of the clerk, whose model gives these answers."""
    return Hands(harness, clerk, model=scripted(*answers))


def refunding(harness: Harness) -> Hands:
    """A worker whose model asks for one refund, then says what it was told."""
    return a_clerk(harness, call("refund", **REFUND), last_told)


def asking(harness: Harness) -> Hands:
    """A worker whose model asks a person, and says what it was told."""
    return a_clerk(harness, call("ask_person", question="Is ada a friend?"), last_told)


def both(harness: Harness) -> Hands:
    """A worker whose model asks for a refund and a question side by side."""
    return a_clerk(harness, calls(call("refund", **REFUND), call("ask_person", question="Sure?")), "done")


def last_told(request: Any) -> str:
    """What the model was told last, as its answer."""
    return str(request.messages[-1]["content"])


def begun(hands: Hands, **submission: Any) -> str:
    """Submit a run, bring it as far as it goes without a person, and return its id."""
    run_id = hands.submit(clerk, "please", **submission)
    hands.work()
    return run_id


def asked_of(hands: Hands, run_id: str, kind: str = "call") -> Mapping[str, Any]:
    """Return the one approval or question of a run, whatever became of it."""
    [row] = [row for row in hands.harness.client.approvals.list(run_id=run_id, status=None) if row["kind"] == kind]
    return row


def approval_id(hands: Hands, run_id: str, kind: str = "call") -> str:
    return str(asked_of(hands, run_id, kind)["approval_id"])


def let_expire(hands: Hands, run_id: str) -> None:
    """Let the time pass that people have, without waiting for it."""
    gone = "clock_timestamp() - interval '1 second' where run_id = %(run_id)s and status = 'pending'"
    hands.sql(f"update agentflow.approvals set expires_at = {gone}", run_id=run_id)
    hands.sql(f"update agentflow.agent_steps set next_attempt_at = {gone} and person is not null", run_id=run_id)


def image(hands: Hands, run_id: str) -> list[Any]:
    """Everything of a run that a person's word may change."""
    return [
        hands.sql(f"select * from agentflow.{table} where run_id = %(run_id)s order by 2, 1", run_id=run_id)
        for table in ("agent_runs", "agent_steps", "approvals", "interventions", "transitions")
    ]
