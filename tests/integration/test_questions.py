"""Questions that an agent asks a person: they hold no worker, and what is answered is the tool's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentflow.client.approvals import Approvals
from agentflow.domain.errors import AgentflowError, InterventionRefused
from agentflow.testing import Harness
from tests.integration.asked import approval_id, asked_of, asking, begun, both, clerk, image, let_expire
from tests.integration.hands import Hands

NESTED: Any = 0
for _ in range(70):
    NESTED = [NESTED]


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return asking(agentflow)


@pytest.fixture
def people(agentflow: Harness) -> Approvals:
    return agentflow.client.approvals


def question(hands: Hands, run_id: str) -> str:
    return approval_id(hands, run_id, "question")


def test_question_waits_for_its_answer_and_the_run_holds_nothing(hands: Hands) -> None:
    run_id = begun(hands)

    run, asked = hands.run_row(run_id), asked_of(hands, run_id, "question")
    assert (run["status"], run["waiting_reason"]) == ("waiting_human", "question")
    assert (asked["asked"], asked["tool"]) == ("Is ada a friend?", "ask_person")
    assert hands.sql("select * from agentflow.agent_steps where status = 'running'") == []
    assert hands.harness.hints.take() is None


def test_answer_is_what_the_tool_gave_and_the_agent_goes_on_with_it(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.answer(question(hands, run_id), "yes, since 2019", by="bob")
    hands.work()

    step = hands.step_row(run_id, 1)
    assert (step["status"], step["tool_output"], step["attempt"]) == ("ok", "yes, since 2019", 0)
    assert hands.harness.client.get(run_id).result == "yes, since 2019"
    asked = asked_of(hands, run_id, "question")
    assert (asked["status"], asked["decided_by"], asked["answer"]) == ("answered", "bob", "yes, since 2019")
    [noted] = hands.sql("select * from agentflow.interventions")
    assert (noted["act"], noted["done_by"], noted["step_index"]) == ("answered", "bob", 1)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({"friend": True, "since": 2019}, {"friend": True, "since": 2019}),
        (False, False),
        (0, 0),
        ([], []),
        ("nul \x00 and \ue000", "nul \x00 and \ue000"),
        ("lone \ud800", "lone \ufffd"),
        ("\n two lines\n", "\n two lines\n"),
    ],
    ids=["object", "false", "zero", "empty list", "NUL", "surrogate", "lines"],
)
def test_any_data_is_an_answer_and_reads_back_as_it_was_given(
    hands: Hands, people: Approvals, answer: Any, kept: Any
) -> None:
    run_id = begun(hands)
    people.answer(question(hands, run_id), answer, by="bob")

    [_, step] = hands.harness.client.steps(run_id)
    assert step.output == kept
    assert asked_of(hands, run_id, "question")["answer"] == kept


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "the answer is empty; say something"),
        (" \n", "the answer is empty"),
        (None, "the answer is empty"),
        (float("nan"), r"the answer cannot be stored: \$: nan is not JSON"),
        (NESTED, "nested deeper than 64 levels"),
        (10**2000, "an integer of over 1000 digits"),
        ("x" * 1_000_001, r"the answer is 1000003 bytes; the limit is 1000000 \(AGENTFLOW_MAX_INPUT_BYTES\)"),
    ],
    ids=["empty", "blank", "none", "NaN", "deep", "long number", "too large"],
)
def test_answer_that_says_nothing_or_cannot_be_kept_is_refused(
    hands: Hands, people: Approvals, answer: Any, says: str
) -> None:
    run_id = begun(hands)
    before = image(hands, run_id)

    with pytest.raises(InterventionRefused, match=says):
        people.answer(question(hands, run_id), answer, by="bob")

    assert image(hands, run_id) == before


def test_question_cannot_be_approved_or_rejected(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    before = image(hands, run_id)

    for word in (people.approve, people.reject):
        with pytest.raises(InterventionRefused, match=r"the question \(\S+\): it is a question: answer it"):
            word(question(hands, run_id), by="bob")

    assert image(hands, run_id) == before


def test_second_answer_is_refused_and_the_first_one_stands(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.answer(question(hands, run_id), "yes", by="bob")

    with pytest.raises(InterventionRefused, match="it was answered before, by 'bob'"):
        people.answer(question(hands, run_id), "no", by="ada")

    assert hands.step_row(run_id, 1)["tool_output"] == "yes"


def test_question_that_nobody_answers_fails_as_expired_and_the_model_is_told(hands: Hands) -> None:
    run_id = begun(hands)
    let_expire(hands, run_id)
    hands.work()

    step, run = hands.step_row(run_id, 1), hands.harness.client.get(run_id)
    assert (step["status"], step["error"]["kind"], step["error"]["happened"]) == ("error", "expired", False)
    told = json.loads(run.result)["error"]
    assert (run.status, told["kind"]) == ("done", "expired")
    assert "nobody answered the question by " in told["message"]
    assert asked_of(hands, run_id, "question")["status"] == "expired"


def test_answer_to_one_of_two_waits_leaves_the_run_waiting_for_the_other(agentflow: Harness, people: Approvals) -> None:
    hands = both(agentflow)
    run_id = begun(hands)
    people.answer(question(hands, run_id), "yes", by="bob")

    run = hands.run_row(run_id)
    assert (run["status"], run["waiting_reason"], run["deadline_at"]) == ("waiting_human", "approval", None)


def test_question_is_no_call_that_code_could_make() -> None:
    with pytest.raises(AgentflowError, match="'ask_person' is answered by a person"):
        clerk.tools["ask_person"](question="hm?")
