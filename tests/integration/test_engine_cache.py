"""A tool with `cache=True` is asked the same thing once in a run; the second answer comes from the run's history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from agentflow import Agent, ToolError, Workflow, tool
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.decision import Done, Next, Wait
from agentflow.domain.run import Run
from agentflow.domain.step import NewStep, Step
from agentflow.gate.open_gate import OpenGate
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Visitor
from agentflow.store import holds
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.outside import tries

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


@tool(effect="read", cache=True)
def look(n: int, where: str = "here") -> dict[str, Any]:
    CALLS.append((n, where))
    if where == "nowhere" and len(CALLS) == 1:
        raise ToolError("not there yet", happened=False)
    return {"saw": n, "call": len(CALLS)}


clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[look])


def begun(agentflow: Harness, *answers: Any) -> tuple[Hands, str]:
    hands = Hands(agentflow, clerk, model=scripted(*answers))
    return hands, hands.begin(clerk, "go")


def outputs(hands: Hands, run_id: str) -> list[Any]:
    return [step.output for step in hands.harness.client.steps(run_id) if step.tool_name == "look"]


def test_the_same_call_is_made_once_and_answered_twice(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, call("look", n=1), call("look", n=1), "done")

    hands.work()

    assert CALLS == [(1, "here")]
    assert outputs(hands, run_id) == [{"saw": 1, "call": 1}] * 2
    assert agentflow.client.get(run_id).result == "done"


def test_the_model_sees_the_answer_as_if_it_had_been_called(agentflow: Harness) -> None:
    seen: list[str] = []

    def answer(request: Any) -> str:
        seen.extend(message["content"] for message in request.messages if message["role"] == "tool")
        return "done"

    hands, _ = begun(agentflow, call("look", n=1), call("look", n=1), answer)
    hands.work()

    assert seen == ['{"saw": 1, "call": 1}'] * 2


def test_an_answer_from_history_costs_no_attempt(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, call("look", n=1), call("look", n=1), "done")

    hands.work()

    assert (tries(hands, run_id, 3), hands.step_row(run_id, 3)["attempt"]) == ([], 0)
    run = agentflow.client.get(run_id)
    assert (run.attempts, run.tool_calls) == (4, 1)


class Counting(OpenGate):
    """An open gate that counts who enters."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def enter(self, bulkhead: Bulkhead, visitor: Visitor) -> Admitted | Denied:
        self.entered.append(bulkhead.name)
        return super().enter(bulkhead, visitor)


def test_an_answer_from_history_asks_no_gate(agentflow: Harness) -> None:
    hands, _ = begun(agentflow, call("look", n=1), call("look", n=1), "done")
    hands.runtime.gate = counting = Counting()

    hands.work()

    assert counting.entered.count("look") == 1
    assert counting.entered.count("openai:gpt-4o-mini") == 3


def test_an_answer_from_history_needs_no_tool_that_is_paused(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, call("look", n=1), call("look", n=1), call("look", n=2), "done")
    for index in range(3):
        hands.do(run_id, index)
    agentflow.database.atomically(lambda tx: holds.hold(tx, "look", "mending", "ops"))

    assert hands.do(run_id, 3) == Refused(ClaimAnswer.CACHED)
    hands.work()

    assert hands.run_row(run_id)["waiting_reason"] == "tool_paused"
    assert hands.step_row(run_id, 5)["tool_input"] == {"n": 2}


@pytest.mark.parametrize(
    ("first", "second"),
    [({"n": 1}, {"n": 2}), ({"n": 1}, {"n": 1, "where": "there"})],
    ids=["another value", "another parameter"],
)
def test_other_arguments_are_another_call(agentflow: Harness, first: Any, second: Any) -> None:
    hands, _ = begun(agentflow, call("look", **first), call("look", **second), "done")

    hands.work()

    assert len(CALLS) == 2


def test_the_order_of_arguments_does_not_matter(agentflow: Harness) -> None:
    hands, _ = begun(agentflow, call("look", n=1, where="there"), call("look", where="there", n=1), "done")

    hands.work()

    assert CALLS == [(1, "there")]


def test_an_error_is_not_kept(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, call("look", n=1, where="nowhere"), call("look", n=1, where="nowhere"), "done")

    hands.work()

    assert len(CALLS) == 2
    assert [step.status for step in agentflow.client.steps(run_id)] == ["ok", "error", "ok", "ok", "ok"]


def test_two_runs_share_nothing(agentflow: Harness) -> None:
    hands, first = begun(agentflow, call("look", n=1), "done")
    second = hands.begin(clerk, "go")

    hands.work()

    assert [outputs(hands, run_id)[0]["call"] for run_id in (first, second)] == [1, 2]


def test_runs_of_one_conversation_share_nothing(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("look", n=1), "done", call("look", n=1), "done"))
    for _ in range(2):
        hands.submit(clerk, "go", conversation="c")

    hands.work()

    assert len(CALLS) == 2


def test_a_tool_without_a_cache_is_called_each_time(agentflow: Harness) -> None:
    plain = tool(effect="read", name="look")(look.function)
    one = Agent("clerk", model="openai:gpt-4o-mini", tools=[plain])

    agentflow.run(one, "go", model=scripted(call("look", n=1), call("look", n=1), "done"))

    assert len(CALLS) == 2


def test_of_two_same_calls_at_once_the_later_is_answered_by_the_earlier(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, calls(call("look", n=1), call("look", n=1)), "done")

    hands.work()

    assert (len(CALLS), agentflow.client.get(run_id).result) == (1, "done")


def test_a_workflow_that_looks_again_is_answered_from_history_too(agentflow: Harness) -> None:
    def decide(run: Run, history: Sequence[Step]) -> Done | Next | Wait:
        if any(step.is_open for step in history):
            return Wait()
        return Next([NewStep("look", {"n": 1})]) if len(history) < 3 else Done([step.output for step in history])

    found = agentflow.run(Workflow("looking", decide=decide, tools=[look]), None)

    assert found.result == [{"saw": 1, "call": 1}] * 3
    assert len(CALLS) == 1


def test_a_crash_after_the_call_does_not_make_its_answer_known(agentflow: Harness) -> None:
    found = agentflow.run(clerk, "go", model=scripted(call("look", n=1), call("look", n=1), "done"), crash_after="look")

    assert (found.status, len(CALLS)) == ("done", 2)
    assert [step.output for step in found.steps if step.tool_name == "look"] == [{"saw": 1, "call": 2}] * 2
