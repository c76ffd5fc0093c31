"""An operator forks a run: a copy begins at one of its steps, with another model or other instructions if wanted."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Pipeline, ToolError, tool
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers
from tests.integration.operated import DOUBT, acts, operations_of, refused

DONE: list[str] = []
SOLD_OUT: set[int] = set()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    DONE.clear()
    SOLD_OUT.clear()


@tool(effect="read")
def look(ctx: Context, n: int) -> str:
    ctx.scratchpad[f"looked_{n}"] = True
    DONE.append(f"looked {n}")
    return f"saw {n}"


@tool(effect="keyed", key="charge:{n}")
def charge(ctx: Context, n: int) -> str:
    DONE.append(f"charged {n} by {ctx.idempotency_key}")
    ctx.scratchpad["charged"] = n
    return f"charged {n}"


@tool(effect="unsafe")
def ship(n: int) -> str:
    if n in SOLD_OUT:
        raise ToolError("sold out", happened=False)
    DONE.append(f"shipped {n}")
    return f"shipped {n}"


@ship.compensate(effect="idempotent")
def call_back(result: str) -> None:
    DONE.append(f"called back {result}")


@tool(effect="read", on_error="fail")
def check(ship: str, n: int) -> str:
    if n in SOLD_OUT:
        raise ToolError(f"{ship} went wrong")
    return f"checked {ship}"


charging = Pipeline("charging", [look, charge])
shipping = Pipeline("shipping", [look, ship, check], on_failure="compensate")
clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="be kind", tools=[look, ship])


def fork(hands: Hands, run_id: str, from_step: int, **wanted: Any) -> str:
    return operations_of(hands).fork(run_id, from_step, **{"by": "ada", **wanted})


def done(hands: Hands, agent: Pipeline | Agent, input: Any, **submission: Any) -> str:
    run_id = hands.begin(agent, input, **submission)
    hands.work()
    DONE.clear()
    return run_id


def asked(hands: Hands, run_id: str) -> list[Any]:
    """Model and system message of each of a run's model calls."""
    query = "select model, prompt from agentflow.llm_calls where run_id = %(id)s order by step_index"
    return [(row["model"], row["prompt"][1]["content"]) for row in hands.sql(query, id=run_id)]


def test_a_fork_copies_what_came_before_and_goes_on_from_there(agentflow: Harness) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1}, user="ann")

    copy_id = fork(hands, run_id, 1)
    hands.work()

    copy, steps = agentflow.client.get(copy_id), agentflow.client.steps(copy_id)
    assert (copy.status, copy.result, copy.input, copy.user_id) == ("done", "charged 1", {"n": 1}, "ann")
    assert [(step.tool_name, step.output, step.attempt) for step in steps] == [
        ("look", "saw 1", 0),
        ("charge", "charged 1", 0),
    ]
    # The charge has a business key: it was made by the run that is copied.
    assert DONE == []


def test_a_copy_begins_with_a_budget_of_its_own_and_knows_whose_copy_it_is(agentflow: Harness) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1}, budget={"attempts": 7}, conversation="c1", idempotency_key="k1")

    copy = agentflow.client.get(fork(hands, run_id, 1))

    assert (copy.status, copy.forked_from, copy.attempts, copy.budget["attempts"]) == ("pending", run_id, 0, 7)
    assert (copy.conversation_id, copy.idempotency_key, copy.current_step) == (None, None, 0)
    [first] = agentflow.client.transitions(copy.run_id)
    assert (first["old"], first["new"], first["reason"]) == (None, "pending", "forked")


def test_the_notes_of_a_copy_are_those_of_its_steps(agentflow: Harness) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1})
    assert agentflow.client.get(run_id).scratchpad == {"looked_1": True, "charged": 1}

    notes = [agentflow.client.get(fork(hands, run_id, index)).scratchpad for index in (0, 1, 2)]

    assert notes == [{}, {"looked_1": True}, {"looked_1": True, "charged": 1}]


def test_a_fork_from_the_first_step_is_a_new_run_of_the_same_input(agentflow: Harness) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1})

    copy_id = fork(hands, run_id, 0)
    hands.work()

    assert (agentflow.client.get(copy_id).status, DONE) == ("done", ["looked 1"])


def test_a_copy_asks_another_model_with_other_instructions(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("look", n=1), "first", "second"))
    run_id = done(hands, clerk, "hi")

    copy_id = fork(hands, run_id, 2, model="openai:gpt-4o", instructions="be brief")
    hands.work()

    assert agentflow.client.get(copy_id).status == "done"
    assert [model for model, _ in asked(hands, run_id)] == ["openai:gpt-4o-mini"] * 2
    assert asked(hands, copy_id) == [("openai:gpt-4o", "be brief")]


def test_the_copy_is_told_what_the_copied_calls_answered(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("look", n=1), "first", "second"))
    run_id = done(hands, clerk, "hi")

    copy_id = fork(hands, run_id, 2, instructions="be brief")
    hands.work()

    prompt = hands.value("select prompt from agentflow.llm_calls where run_id = %(id)s", id=copy_id)
    assert [message["role"] for message in prompt[1:]] == ["system", "user", "assistant", "tool"]
    assert prompt[-1]["content"] == "saw 1"


def test_the_copy_knows_what_was_said_before_in_the_conversation_of_its_origin(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted("one", "two", "three"))
    hands.submit(clerk, "first", conversation="c1")
    second = hands.submit(clerk, "second", conversation="c1")
    hands.work()

    copy_id = fork(hands, second, 0)
    hands.work()

    prompt = hands.value("select prompt from agentflow.llm_calls where run_id = %(id)s", id=copy_id)
    assert [message["content"] for message in prompt[2:]] == ["first", "one", "second"]


def test_a_fork_in_the_midst_of_siblings_makes_the_calls_that_are_missing(agentflow: Harness) -> None:
    both = calls(call("look", n=1), call("look", n=2))
    hands = Hands(agentflow, clerk, model=scripted(both, "first", "second"))
    run_id = done(hands, clerk, "hi")

    copy_id = fork(hands, run_id, 2)
    hands.work()

    steps = agentflow.client.steps(copy_id)
    assert [(step.tool_name, step.attempt) for step in steps] == [("model", 0), ("look", 0), ("look", 1), ("model", 1)]
    assert DONE == ["looked 2"]


def test_a_fork_of_a_fork_keeps_its_overrides(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("look", n=1), "first", "second", "third"))
    run_id = done(hands, clerk, "hi")
    first = fork(hands, run_id, 2, model="openai:gpt-4o")
    hands.work()

    second = fork(hands, first, 2, instructions="be brief")
    hands.work()

    assert agentflow.client.get(second).overrides == {"model": "openai:gpt-4o", "instructions": "be brief"}
    assert asked(hands, second) == [("openai:gpt-4o", "be brief")]
    assert agentflow.client.get(second).forked_from == first


def test_what_was_copied_is_never_undone_by_the_copy(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id = done(hands, shipping, {"n": 1})
    SOLD_OUT.add(1)

    copy_id = fork(hands, run_id, 2)
    hands.work()

    copy = agentflow.client.get(copy_id)
    assert (copy.status, copy.compensation, DONE) == ("failed", None, [])
    assert agentflow.client.get(run_id).status == "done"


def test_who_forked_and_why_and_to_what_is_written_down(agentflow: Harness) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1})

    copy_id = fork(hands, run_id, 1, reason="try it again")

    [act] = acts(hands, run_id)
    assert (act["act"], act["done_by"], act["reason"], act["step_index"]) == ("forked", "ada", "try it again", 1)
    assert act["details"]["to"] == copy_id


def test_an_effect_that_the_copy_could_have_once_more_stands_in_the_way(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id = done(hands, shipping, {"n": 1})

    with refused(hands, r"step 1 \(ship, unsafe\) is ok, neither undone nor under a business key"):
        fork(hands, run_id, 1)
    copy_id = fork(hands, run_id, 1, force=True)
    hands.work()

    assert (agentflow.client.get(copy_id).status, DONE) == ("done", ["shipped 1"])
    assert acts(hands, run_id)[0]["details"]["forced"] is True


def test_a_copied_effect_stands_in_the_way_of_a_fork_of_the_fork(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    copy_id = fork(hands, done(hands, shipping, {"n": 1}), 2)

    with refused(hands, r"step 1 \(ship, unsafe\) is ok"):
        fork(hands, copy_id, 1)


@pytest.mark.parametrize("state", ["running", "in_doubt"])
def test_an_effect_that_may_come_stands_in_the_way(agentflow: Harness, state: str) -> None:
    hands = Hands(agentflow, shipping)
    run_id = hands.begin(shipping, {"n": 1})
    hands.do(run_id)
    claim = hands.claim(run_id, 1)
    if state == "in_doubt":
        hands.record(claim, DOUBT)

    with refused(hands, rf"step 1 \(ship, unsafe\) is {state}"):
        fork(hands, run_id, 1)
    with refused(hands, rf"step 1 \(ship\) is {state} and cannot be copied"):
        fork(hands, run_id, 2, force=True)


def test_what_was_undone_is_done_anew_and_not_copied_as_if_it_stood(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id = hands.begin(shipping, {"n": 2})
    hands.do(run_id)
    hands.do(run_id, 1)
    SOLD_OUT.add(2)
    hands.work()
    assert agentflow.client.get(run_id).compensation == "done"
    SOLD_OUT.clear()
    DONE.clear()

    with refused(hands, r"step 1 \(ship\) would be copied, and has been undone since"):
        fork(hands, run_id, 2)
    with refused(hands, "step 4 is not a step to fork from; give one from 0 to 3"):
        fork(hands, run_id, 4, force=True)
    copy_id = fork(hands, run_id, 1)
    hands.work()

    assert (agentflow.client.get(copy_id).status, DONE) == ("done", ["shipped 2"])


REFUSED: dict[str, tuple[int, dict[str, Any], str]] = {
    "before the beginning": (-1, {}, "step -1 is not a step to fork from; give one from 0 to 2"),
    "after the end": (3, {}, "step 3 is not a step to fork from"),
    "another model for a pipeline": (
        1,
        {"model": "openai:gpt-4o"},
        "its agent 'charging' is a pipeline and has no model",
    ),
    "instructions for a pipeline": (1, {"instructions": "be kind"}, "a pipeline and has no instructions"),
    "by nobody": (1, {"by": ""}, "names nobody"),
}


@pytest.mark.parametrize(("from_step", "wanted", "why"), REFUSED.values(), ids=REFUSED)
def test_a_fork_that_cannot_be_is_refused(agentflow: Harness, from_step: int, wanted: dict[str, Any], why: str) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1})

    with refused(hands, why):
        fork(hands, run_id, from_step, **wanted)


@pytest.mark.parametrize("model", ["gpt-4o", "openai:", "", "   "])
def test_a_model_without_a_name_is_refused(agentflow: Harness, model: str) -> None:
    hands = Hands(agentflow, clerk, model=scripted("hello"))
    run_id = done(hands, clerk, "hi")

    with refused(hands, r"model=.*(write it as 'provider:name'|is empty)"):
        fork(hands, run_id, 0, model=model)


def test_a_fork_whose_commit_was_not_answered_is_made_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, charging)
    run_id = done(hands, charging, {"n": 1})
    answers = LostAnswers(agentflow.client.database)
    answers.lose_next(meanwhile=hands.work)

    copy_id = fork(hands, run_id, 1)

    assert (answers.lost, hands.value("select count(*) from agentflow.agent_runs")) == (1, 2)
    assert agentflow.client.get(copy_id).status == "done"
