from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Happened, Pipeline, ask_person, tool
from agentflow.declare.assumptions import Assumption, open_assumptions
from agentflow.declare.tool import Tool

REASON = "a label costs nothing"


def label(ctx: Context, order_id: str) -> str:
    """Print a label."""
    return f"{ctx.idempotency_key} {order_id}"


def verify(order_id: str) -> Happened[str]:
    return Happened(order_id)


def undo(ctx: Context, label: str) -> str:
    return ctx.idempotency_key


def declared(effect: str, **options: Any) -> Tool[..., Any]:
    """A tool that leaves nothing open beside its approval, settling, verification and class of undoing."""
    return tool(**{"effect": effect, "name": "label", "no_compensation": REASON, **options})(label)


def undone(effect: str, by: str | None = None) -> Tool[..., Any]:
    known = declared(effect, no_compensation=None, settle_s=1, no_approval=REASON)
    if effect == "verified":
        known.verify(verify)
    known.compensate(effect=by)(undo)
    return known


def verified(effect: str, **options: Any) -> Tool[..., Any]:
    known = declared(effect, **options)
    known.verify(verify)
    return known


def agent(*tools: Tool[..., Any], **options: Any) -> Agent:
    return Agent("parcels", model="openai:gpt-4o-mini", tools=list(tools), **options)


def kinds(*tools: Tool[..., Any]) -> list[str]:
    return [each.kind for each in open_assumptions(agent(*tools))]


SETTLED: dict[str, Tool[..., Any]] = {
    "a read": declared("read", no_compensation=None),
    "a question": ask_person(),
    "a stated reason": declared("keyed"),
    "a compensation of its tool's class": undone("keyed"),
    "a compensation that says its class": undone("verified", by="unsafe"),
    "an approval": declared("unsafe", approval=True),
    "an approval by arguments": declared("unsafe", approval=lambda order_id: order_id == "1"),
    "a reason for no approval": declared("unsafe", no_approval=REASON),
    "a verification that says when": verified("verified", settle_s=5),
    "a verification at once": verified("verified", settle_s=0),
    "a verification of each call": verified("keyed", verify_after=True, settle_s=5),
}
OPEN: dict[str, tuple[Tool[..., Any], str, str, str]] = {
    "unsafe, nobody asked": (declared("unsafe"), "no_approval", "nobody is asked before it is made", "approval=True"),
    "an effect that stays": (
        declared("transactional", no_compensation=None),
        "no_compensation",
        "nothing says how to undo a call",
        "@label.compensate, or no_compensation=",
    ),
    "when a call has settled": (verified("verified"), "settle_s", "30 s are assumed", "30 to confirm it"),
    "when each call has settled": (verified("keyed", verify_after=True), "settle_s", "30 s are assumed", "settle_s="),
    "a verification in vain": (verified("keyed"), "verify_after", "never asked", 'effect="verified"'),
    "how safe an undoing is": (
        undone("verified"),
        "compensation_effect",
        "its compensation is taken for 'unsafe'",
        "@label.compensate(effect=...)",
    ),
}


@pytest.mark.parametrize("name", SETTLED)
def test_what_is_said_is_not_open(name: str) -> None:
    assert kinds(SETTLED[name]) == []


@pytest.mark.parametrize("name", OPEN)
def test_what_is_assumed_is_said_with_what_settles_it(name: str) -> None:
    declared, kind, says, write = OPEN[name]

    [found] = open_assumptions(agent(declared))

    assert (found.kind, found.tool, found.agent) == (kind, "label", None)
    assert says in found.says
    assert write in found.write
    assert "test_assumptions.py:" in found.place


def test_a_tool_may_leave_several_things_open() -> None:
    assert kinds(declared("unsafe", no_compensation=None)) == ["no_approval", "no_compensation"]


def test_a_compensations_assumption_stands_at_the_compensation() -> None:
    [found] = open_assumptions(agent(undone("verified")))

    assert found.place.endswith(f":{undo.__code__.co_firstlineno}")


UNSAFE = declared("unsafe", no_approval=REASON)


def test_a_pipeline_that_undoes_an_unsafe_tool_by_default_leaves_that_open() -> None:
    pipeline = Pipeline("ship", [UNSAFE])

    [found] = open_assumptions(pipeline)

    assert (found.kind, found.agent, found.tool, found.place) == ("on_failure", "ship", "label", pipeline.place)
    assert 'on_failure="compensate" to confirm it' in found.write


@pytest.mark.parametrize("on_failure", ["compensate", "ask", "keep"])
def test_a_pipeline_that_says_what_becomes_of_its_effects_leaves_nothing_open(on_failure: str) -> None:
    assert open_assumptions(Pipeline("ship", [UNSAFE], on_failure=on_failure)) == []


def test_an_agent_asks_a_person_by_default_and_leaves_nothing_open() -> None:
    assert open_assumptions(agent(UNSAFE)) == []


def test_an_assumption_of_a_tool_is_the_same_for_every_agent_that_has_it() -> None:
    shared = declared("unsafe")
    both: list[Assumption] = [
        *open_assumptions(agent(shared)),
        *open_assumptions(Agent("b", model="openai:x", tools=[shared])),
    ]

    assert both[0] == both[1]
