from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from agentflow import Agent, Budget, Context, Handoff, Happened, Model, Pipeline, Workflow, ask_person, tool
from agentflow.declare.tool import Tool
from agentflow.domain.decision import Done


class Ticket(BaseModel):
    text: str


class LongTicket(Ticket):
    urgent: bool = False


def lookup_order(order_id: str) -> str:
    """Look an order up."""
    return order_id


def lookup_order_and_customer(order_id: str, customer: str = "") -> str:
    """Look an order up."""
    return order_id + customer


def explained(order_id: str) -> str:
    """Look an order up, please."""
    return order_id


def lookup(function: Callable[..., str] = lookup_order, **options: Any) -> Tool[..., Any]:
    return tool(**{"effect": "read", "name": "lookup", **options})(function)


def in_the_shop(order_id: str) -> Happened[str]:
    return Happened(order_id)


def verified(**options: Any) -> Tool[..., Any]:
    declared = lookup(effect="idempotent", **options)
    declared.verify(in_the_shop)
    return declared


def compensated(effect: str | None = None) -> Tool[..., Any]:
    declared = lookup(effect="idempotent")
    declared.compensate(effect=effect)(lambda found: None)
    return declared


def is_large(order_id: str) -> bool:
    return len(order_id) > 4


def is_huge(order_id: str) -> bool:
    return len(order_id) > 9


def agent(**options: Any) -> Agent:
    known: dict[str, Any] = {"model": "openai:gpt-4o-mini", "tools": [lookup()], **options}
    return Agent("refunds", **known)


def in_one_way(ticket: Ticket) -> str:
    return ticket.text


def in_another_way(ticket: Ticket) -> str:
    return ticket.text.upper()


def test_a_declaration_that_is_the_same_has_the_same_version() -> None:
    assert agent().version == agent().version
    assert agent(input=Ticket, prompt=in_one_way).version == agent(input=Ticket, prompt=in_one_way).version


def test_the_order_of_tools_is_no_change() -> None:
    first, second = lookup(name="first"), lookup(name="second")

    assert agent(tools=[first, second]).version == agent(tools=[second, first]).version


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model": "openai:gpt-4o"},
    "instructions": {"instructions": "be kind"},
    "settings": {"settings": {"temperature": 0}},
    "budget": {"budget": Budget(steps=3)},
    "fallback": {"fallback": Handoff()},
    "fallback's model": {"fallback": Model("openai:gpt-4o-mini")},
    "fallback's second": {"fallback": Model("openai:gpt-4o-mini", then=Handoff())},
    "result": {"result": Ticket},
    "input": {"input": Ticket},
    "input's field": {"input": LongTicket},
    "prompt": {"input": Ticket, "prompt": in_one_way},
    "prompt's code": {"input": Ticket, "prompt": in_another_way},
    "model's timeout": {"model_timeout_s": 5},
    "no tools": {"tools": []},
    "tool's name": {"tools": [lookup(name="find")]},
    "tool's effect": {"tools": [lookup(effect="idempotent")]},
    "tool's parameters": {"tools": [lookup(lookup_order_and_customer)]},
    "tool's description": {"tools": [lookup(explained)]},
    "tool's timeout": {"tools": [lookup(timeout_s=3)]},
    "tool's settling": {"tools": [lookup(settle_s=3)]},
    "tool's key": {"tools": [lookup(key="{order_id}")]},
    "tool's queue": {"tools": [lookup(queue="slow")]},
    "tool's failure": {"tools": [lookup(on_error="fail")]},
    "tool's ending": {"tools": [lookup(ends_run=True)]},
    "tool's handoff": {"tools": [lookup(ends_run="handoff")]},
    "on_failure": {"on_failure": "compensate"},
    "tool's verification": {"tools": [verified()]},
    "tool's verification each time": {"tools": [verified(verify_after=True)]},
    "tool's compensation": {"tools": [compensated()]},
    "tool's compensation's class": {"tools": [compensated("unsafe")]},
    "tool's missing compensation": {"tools": [lookup(effect="idempotent", no_compensation="a note is no harm")]},
    "tool's approval": {"tools": [lookup(approval=True)]},
    "tool's approval's time": {"tools": [lookup(approval=True, expires_s=60)]},
    "tool's predicate": {"tools": [lookup(approval=is_large)]},
    "tool's predicate's code": {"tools": [lookup(approval=is_huge)]},
    "tool's missing approval": {"tools": [lookup(no_approval="it only reads")]},
    "a question": {"tools": [ask_person("lookup")]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_declaration_is_a_version_of_its_own(change: str) -> None:
    versions = {agent(**options).version for options in CHANGES.values()}

    assert agent(**CHANGES[change]).version != agent().version
    assert len(versions) == len(CHANGES)


def test_a_pipelines_version_knows_the_order_of_its_tools() -> None:
    first, second = lookup(name="first"), lookup(name="second")

    assert Pipeline("p", [first, second]).version != Pipeline("p", [second, first]).version


def test_a_workflows_version_knows_its_coordinators_code() -> None:
    once = Workflow("w", tools=[lookup()], decide=lambda run, history: Done(1))
    twice = Workflow("w", tools=[lookup()], decide=lambda run, history: Done(2))

    assert once.version != twice.version


def test_agents_pipelines_and_workflows_of_one_name_differ() -> None:
    pipeline = Pipeline("refunds", [lookup()])
    workflow = Workflow("refunds", tools=[lookup()], decide=lambda run, history: Done(1))

    assert len({agent().version, pipeline.version, workflow.version}) == 3


def test_a_version_is_the_same_in_every_process() -> None:
    program = f"from {__name__} import agent, Ticket, in_one_way; print(agent(input=Ticket, prompt=in_one_way).version)"

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == agent(input=Ticket, prompt=in_one_way).version


def test_a_context_is_no_part_of_what_a_tool_takes() -> None:
    def with_context(ctx: Context, order_id: str) -> str:
        """Look an order up."""
        return f"{order_id} {ctx.attempt}"

    assert agent(tools=[lookup(with_context)]).version == agent().version
