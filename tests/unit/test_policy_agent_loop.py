from __future__ import annotations

from typing import Any

import pytest

from agentflow.domain.decision import Done, Fail, Next, Wait
from agentflow.domain.run import Outcome
from agentflow.domain.step import MODEL, NewStep, Step, StepStatus
from agentflow.policy.agent_loop import AgentRules, decide_agent
from tests.unit.given import a_call, a_run, a_step, a_thought

RULES = AgentRules(
    first_message=str,
    ends_run={"hand_off": Outcome.HANDOFF, "close": Outcome.COMPLETE},
    fails_run=frozenset({"charge"}),
)


def answered(index: int, tool_name: str, call_index: int, **facts: Any) -> Step:
    return a_step(index, tool_name, parent_index=0, call_index=call_index, **facts)


def decide(*history: Step, **run: Any) -> object:
    return decide_agent(a_run(**run), history, RULES)


def test_a_run_begins_with_the_customers_message() -> None:
    assert decide(input="hello") == Next([NewStep(MODEL, {"message": "hello"})])


def test_an_empty_message_is_a_message_too() -> None:
    assert decide(input="") == Next([NewStep(MODEL, {"message": ""})])


@pytest.mark.parametrize("status", [StepStatus.PENDING, StepStatus.RUNNING, StepStatus.IN_DOUBT])
def test_nothing_is_decided_while_a_step_is_open(status: StepStatus) -> None:
    thought = a_thought(0, a_call("lookup"), a_call("lookup"))

    assert decide(thought, answered(1, "lookup", 0), answered(2, "lookup", 1, status=status)) == Wait()


def test_the_calls_of_one_answer_go_side_by_side_with_their_place_in_it() -> None:
    thought = a_thought(0, a_call("lookup"), a_call("refund"), inputs=[{"n": 1}, {"n": 2}])

    assert decide(thought) == Next([NewStep("lookup", {"n": 1}, 0, 0), NewStep("refund", {"n": 2}, 0, 1)])


def test_the_same_call_id_twice_is_two_calls() -> None:
    thought = a_thought(0, a_call("lookup", call_id="same"), a_call("lookup", call_id="same"))

    decision = decide(thought)

    assert isinstance(decision, Next)
    assert len(decision.steps) == 2


def test_the_model_goes_on_once_every_call_is_answered() -> None:
    thought = a_thought(0, a_call("lookup"), a_call("lookup"))
    failed = answered(2, "lookup", 1, status=StepStatus.ERROR, error={"kind": "bug", "message": "no"})

    assert decide(thought, answered(1, "lookup", 0), failed) == Next([NewStep(MODEL, {})])


def test_an_answer_without_calls_is_the_result() -> None:
    assert decide(a_thought(0, content="done", result={"a": 1})) == Done({"a": 1})


def test_none_is_a_result_too() -> None:
    assert decide(a_thought(0, content="null", result=None)) == Done(None)


@pytest.mark.parametrize(("name", "outcome"), [("close", Outcome.COMPLETE), ("hand_off", Outcome.HANDOFF)])
def test_a_tool_that_ends_the_run_gives_its_result_and_its_outcome(name: str, outcome: Outcome) -> None:
    assert decide(a_thought(0, a_call(name)), answered(1, name, 0, output="said")) == Done("said", outcome)


def test_a_failed_handoff_goes_back_to_the_model() -> None:
    failed = answered(1, "hand_off", 0, status=StepStatus.ERROR, error={"message": "nobody is there"})

    assert decide(a_thought(0, a_call("hand_off")), failed) == Next([NewStep(MODEL, {})])


def test_a_tool_that_fails_the_run_does_so_with_its_own_words() -> None:
    failed = answered(1, "charge", 0, status=StepStatus.ERROR, error={"message": "the card is stolen"})

    assert decide(a_thought(0, a_call("charge")), failed) == Fail("tool_failed", "charge: the card is stolen", 1)


def test_a_model_that_failed_fails_the_run() -> None:
    failed = a_step(0, MODEL, status=StepStatus.ERROR, error={"kind": "quota", "message": "out of credits"})

    assert decide(failed) == Fail("model_failed", "model: out of credits", 0)


def test_good_calls_are_made_though_a_bad_one_stands_beside_them() -> None:
    thought = a_thought(0, a_call("nothing"), a_call("lookup"), inputs=[None, {}])

    assert decide(thought) == Next([NewStep("lookup", {}, 0, 1)])


def test_a_bad_call_alone_goes_back_to_the_model_at_once() -> None:
    assert decide(a_thought(0, a_call("nothing"), inputs=[None])) == Next([NewStep(MODEL, {})])


def test_an_unusable_answer_goes_back_with_what_is_wrong() -> None:
    assert decide(a_thought(0, content="?", result_error="mend it")) == Next([NewStep(MODEL, {"message": "mend it"})])


def test_a_run_fails_after_as_many_unusable_answers_as_its_budget_repairs() -> None:
    bad = [a_thought(0, a_call("nothing"), inputs=[None]), a_thought(1, content="?", result_error="mend it")]

    assert isinstance(decide(*bad, budget={"repairs": 2}), Next)
    assert decide(*bad, budget={"repairs": 1}) == Fail(
        "malformed_answers", "the model gave 2 answers that cannot be used; 1 repairs are allowed", 1
    )
