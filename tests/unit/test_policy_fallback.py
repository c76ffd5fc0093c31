from __future__ import annotations

from typing import Any

import pytest

from agentflow import Done, Fail
from agentflow.domain.run import Outcome
from agentflow.domain.step import Step, StepStatus
from agentflow.policy.fallback import fall_back
from tests.unit.given import a_call, a_run, a_step, a_thought

CEILINGS = [
    "budget_steps", "budget_tool_calls", "budget_attempts", "budget_tokens", "budget_cost_usd", "budget_same_call",
    "deadline", "malformed_answers",
]  # fmt: skip
SPENT = Fail("budget_cost_usd", "the run would cost $0.41; its budget is 0.4", 3)
WHY = {"kind": SPENT.reason, "message": SPENT.message, "step_index": 3}
LOST = {"kind": "timeout", "message": "no answer"}


def ended(fallback: str, *history: Step, fail: Fail = SPENT) -> Done | Fail:
    return fall_back(a_run(fallback=fallback), history, fail)


def partial(*history: Step) -> Any:
    decision = ended("partial", *history)
    assert isinstance(decision, Done)
    return decision.result


@pytest.mark.parametrize("reason", CEILINGS)
@pytest.mark.parametrize("word", ["handoff", "partial"])
def test_a_ceiling_is_answered_by_the_declared_fallback_and_named(word: str, reason: str) -> None:
    decision = ended(word, fail=Fail(reason, "too much", 7))

    assert decision == Done(None, Outcome(word), {"kind": reason, "message": "too much", "step_index": 7})


@pytest.mark.parametrize("reason", CEILINGS)
def test_without_a_fallback_a_run_at_its_ceiling_fails(reason: str) -> None:
    fail = Fail(reason, "too much", 7)

    assert ended("fail", a_step(0, "look", output="seen"), fail=fail) is fail


@pytest.mark.parametrize(
    "reason", ["tool_failed", "model_failed", "bug", "quota", "bad_output", "cancel", "over_budget"]
)
@pytest.mark.parametrize("word", ["fail", "handoff", "partial"])
def test_what_is_no_ceiling_fails_whatever_is_declared(word: str, reason: str) -> None:
    fail = Fail(reason, "it broke")

    assert ended(word, a_step(0, "look", output="seen"), fail=fail) is fail


def test_a_handoff_has_no_result_but_says_why() -> None:
    history = [a_thought(0, content="I refund the order."), a_step(1, "look", output="seen")]

    assert ended("handoff", *history) == Done(None, Outcome.HANDOFF, WHY)


def test_an_agents_partial_result_is_the_last_text_of_its_model() -> None:
    history = [
        a_thought(0, a_call("look"), content="I look."),
        a_step(1, "look", output="seen"),
        a_thought(2, a_call("look"), content="I look again."),
        a_thought(3, a_call("look"), content=None),
        a_step(4, "look", output="seen twice"),
    ]

    assert ended("partial", *history) == Done("I look again.", Outcome.PARTIAL, WHY)


def test_an_agent_whose_model_said_nothing_gives_what_its_tools_answered_in_order() -> None:
    history = [
        a_thought(0, a_call("look"), a_call("look"), a_call("count"), content=""),
        a_step(1, "look", output="first"),
        a_step(2, "look", status=StepStatus.ERROR, error=LOST),
        a_step(3, "count", output=3),
        a_thought(4, a_call("look")),
        a_step(5, "look", output="second"),
        a_step(6, "look", status=StepStatus.SKIPPED),
        a_step(7, "approval", output="yes"),
    ]

    assert partial(*history) == {"look": ["first", "second"], "count": [3]}


def test_the_text_of_a_model_call_that_failed_is_no_result() -> None:
    failed = a_step(0, "model", status=StepStatus.ERROR, error=LOST)

    assert partial(failed) is None


def test_a_pipelines_partial_result_is_its_last_output() -> None:
    history = [
        a_step(0, "fetch", output=[1250, 900]),
        a_step(1, "summarise", output={"total": 2150}),
        a_step(2, "publish", status=StepStatus.PENDING),
    ]

    assert partial(*history) == {"total": 2150}


@pytest.mark.parametrize(
    "history",
    [[], [a_step(0, "fetch", status=StepStatus.ERROR, error=LOST)], [a_thought(0, a_call("look"))]],
    ids=["nothing done", "a failed tool", "a thought without words"],
)
def test_where_nothing_was_done_the_partial_result_is_none(history: list[Step]) -> None:
    assert partial(*history) is None
