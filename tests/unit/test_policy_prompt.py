from __future__ import annotations

import json
from typing import Any

import pytest

from agentflow.domain.step import MODEL, Step, StepStatus
from agentflow.policy.prompt import SHOWN_BYTES, messages_of, shown
from tests.unit.given import a_call, a_step, a_thought

ASKED = {"message": "refund me"}


def one_call(*acted: Step) -> list[Any]:
    return messages_of([a_thought(0, a_call("refund")), *acted])


def acted(**facts: Any) -> Step:
    return a_step(1, "refund", parent_index=0, call_index=0, **facts)


def test_a_run_reads_as_asked_then_thought_then_called_then_answered() -> None:
    thought = a_step(0, MODEL, input=ASKED, output=a_thought(0, a_call("refund", '{"id":1}'), content="ok").output)

    assert messages_of([thought, acted(output="refunded"), a_thought(2, content="done")]) == [
        {"role": "user", "content": "refund me"},
        {"role": "assistant", "content": "ok", "tool_calls": [a_call("refund", '{"id":1}')]},
        {"role": "tool", "tool_call_id": "c1", "name": "refund", "content": "refunded"},
        {"role": "assistant", "content": "done"},
    ]


@pytest.mark.parametrize("text", ["", "🎉🎉", "x" * 100_000], ids=["empty", "emoji", "long"])
def test_the_customers_message_is_given_word_for_word(text: str) -> None:
    [message] = messages_of([a_step(0, MODEL, input={"message": text}, status=StepStatus.RUNNING)])

    assert message == {"role": "user", "content": text}


@pytest.mark.parametrize("status", [StepStatus.SKIPPED, StepStatus.PENDING, StepStatus.RUNNING])
def test_a_call_left_open_was_not_executed(status: StepStatus) -> None:
    assert one_call(acted(status=status))[-1]["content"] == "not executed"


@pytest.mark.parametrize(("happened", "says"), [(None, '"may_have_happened": true'), (False, "not executed")])
def test_a_call_that_was_not_tried_again_says_whether_it_may_have_happened(happened: bool | None, says: str) -> None:
    error = {"kind": "transient", "message": "HTTP 500", "happened": happened}

    assert says in one_call(acted(status=StepStatus.SKIPPED, error=error))[-1]["content"]


@pytest.mark.parametrize("kind", ["rejected", "expired", "missing", "other_arguments"])
def test_a_call_that_was_refused_by_a_person_says_so_and_why(kind: str) -> None:
    error = {"kind": kind, "message": "'ada' rejected it: too much", "happened": False}

    told = json.loads(one_call(acted(status=StepStatus.SKIPPED, error=error))[-1]["content"])

    assert told == {"error": {"kind": kind, "message": "'ada' rejected it: too much"}}


def test_a_call_that_never_became_a_step_was_not_executed() -> None:
    assert one_call()[-1]["content"] == "not executed"


def test_answers_stand_in_the_order_of_the_calls_whatever_ended_first() -> None:
    thought = a_thought(0, a_call("refund", call_id="same"), a_call("refund", call_id="same"))
    second = a_step(1, "refund", parent_index=0, call_index=1, output="second")
    first = a_step(2, "refund", parent_index=0, call_index=0, output="first")

    assert [message["content"] for message in messages_of([thought, second, first])[1:]] == ["first", "second"]


def test_a_string_is_shown_word_for_word_and_all_else_as_json() -> None:
    assert one_call(acted(output='say "é"'))[-1]["content"] == 'say "é"'
    assert one_call(acted(output={"é": [1, None]}))[-1]["content"] == '{"é": [1, null]}'


def test_a_tool_error_is_shown_word_for_word() -> None:
    failed = acted(status=StepStatus.ERROR, error={"kind": "tool_error", "message": 'No order "1"!'})

    assert one_call(failed)[-1]["content"] == 'No order "1"!'


@pytest.mark.parametrize("happened", [False, None, True])
def test_any_other_failure_is_shown_as_a_typed_error_with_what_it_may_have_done(happened: bool | None) -> None:
    failed = acted(status=StepStatus.ERROR, error={"kind": "bug", "message": "KeyError: 1", "happened": happened})

    told = json.loads(one_call(failed)[-1]["content"])["error"]

    assert (told["kind"], told["message"]) == ("bug", "KeyError: 1")
    assert told.get("may_have_happened", False) is (happened is not False)


def test_arguments_that_could_not_be_read_are_answered_with_what_is_wrong() -> None:
    complaint = {"kind": "bad_input", "message": "the arguments are no JSON"}
    thought = a_thought(0, a_call("refund", "{"), inputs=[None], errors={"0": complaint})

    assert json.loads(messages_of([thought])[-1]["content"] or "") == {"error": complaint}


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_long_output_is_shortened_between_two_letters_and_says_so(letter: str) -> None:
    text = letter * 20_000

    head, _, tail = shown(text).partition("\n")

    assert len(head.encode()) <= SHOWN_BYTES
    assert head == letter * len(head)
    assert tail == f"[shortened: {20_000 - len(head)} more characters]"


def test_an_output_of_just_the_limit_is_shown_whole() -> None:
    assert shown("é" * (SHOWN_BYTES // 2)) == "é" * (SHOWN_BYTES // 2)


@pytest.mark.parametrize("kind", ["tool_error", "bug"])
def test_a_long_error_is_shortened_like_an_output(kind: str) -> None:
    failed = acted(status=StepStatus.ERROR, error={"kind": kind, "message": "x" * 10**6})

    assert len(one_call(failed)[-1]["content"]) < SHOWN_BYTES + 200
