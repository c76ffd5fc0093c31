"""What a check of the declarations prints."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Happened, ask_person, tool
from agentflow.cli.checklist import open_in, print_declared, unserved_in
from agentflow.cli.declared import describe_agent
from agentflow.declare.tool import Tool


@tool(effect="verified", timeout_s=2, settle_s=5, key="refund:{order_id}", approval=lambda order_id: order_id != "1")
def refund(ctx: Context, order_id: str) -> str:
    """Refund an order."""
    return f"{ctx.idempotency_key} {order_id}"


@refund.verify
def refunded(order_id: str) -> Happened[str]:
    return Happened(order_id)


@refund.compensate(effect="idempotent", timeout_s=3)
def void(made: str) -> None:
    pass


@tool(effect="unsafe")
def call_customer(number: str) -> str:
    """Call a customer."""
    return number


@tool(effect="keyed", verify_after=True, settle_s=1, no_compensation="a note is no harm", no_approval="it is small")
def note(ctx: Context, text: str) -> str:
    """Write a note."""
    return f"{ctx.idempotency_key} {text}"


@note.verify
def noted(text: str) -> Happened[str]:
    return Happened(text)


def described(*tools: Tool[..., Any], name: str = "refunds", pool: str | None = "default") -> dict[str, Any]:
    return describe_agent(Agent(name, model="openai:gpt-4o-mini", tools=list(tools)), lambda queue: pool)


def printed(capsys: pytest.CaptureFixture[str], *agents: dict[str, Any], strict: bool) -> str:
    print_declared(agents, strict=strict)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.mark.parametrize(
    ("shown", "row"),
    [
        (refund, "refund verified 2 s a doubt, 5 s idempotent, 3 s by its arguments, 1 d refund:{order_id}"),
        (call_customer, "call_customer unsafe 10 s none none"),
        (note, "note keyed 10 s each call, 1 s none, as stated none, as stated"),
        (ask_person(), "ask_person read 10 s a question, 1 d"),
    ],
    ids=lambda each: each.name if isinstance(each, Tool) else "",
)
def test_a_strict_check_says_of_each_tool_what_it_promises(
    shown: Tool[..., Any], row: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [" ".join(line.split()) for line in printed(capsys, described(shown), strict=True).splitlines()]

    assert row in lines


def test_a_strict_check_says_where_each_assumption_stands_and_what_settles_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, described(call_customer), strict=True)

    assert f"{call_customer.place}: tool 'call_customer' is 'unsafe', so that a person has to end any doubt" in text
    assert "; write @call_customer.compensate, or no_compensation=" in text
    assert text.endswith("2 assumptions are left open\n")


def test_a_check_that_is_not_strict_only_counts_what_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, described(call_customer), strict=False)

    assert "; write" not in text
    assert text.endswith("2 assumptions are left open: see `agentflow agents check --strict`\n")


def test_a_strict_check_says_that_nothing_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, described(refund), strict=True).endswith("no assumption is left open\n")


def test_a_check_without_anything_open_ends_with_what_can_be_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, described(refund), strict=False).endswith("everything can be served\n")


def test_an_assumption_of_a_tool_counts_once_however_many_agents_have_it() -> None:
    agents = [described(call_customer, name=name) for name in ("a", "b")]

    assert [each["kind"] for each in open_in(agents)] == ["no_approval", "no_compensation"]


def test_a_tool_that_no_pool_serves_is_said_with_its_queue(capsys: pytest.CaptureFixture[str]) -> None:
    agent = described(refund, pool=None)

    text = printed(capsys, agent, strict=False)

    assert [each["name"] for each in unserved_in([agent])] == ["refund"]
    assert "nobody serves 'refund': name its queue 'tool.refund' in a pool of AGENTFLOW_POOLS" in text
    assert "everything can be served" not in text
