"""Whether a failed run may be taken up again, and which of its steps are done once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow.domain.ended import EndedRun, EndedStep
from agentflow.domain.run import RunStatus, Spent
from agentflow.domain.step import APPROVAL, COMPENSATE, MODEL, Effect, StepStatus
from agentflow.policy.reopening import refuse_ceiling, refuse_reopening, refuse_repeat, refuse_step, steps_to_reopen
from tests.unit.given import a_run, a_step

ERROR, SKIPPED, OK = StepStatus.ERROR, StepStatus.SKIPPED, StepStatus.OK
START = datetime(2026, 1, 2, tzinfo=UTC)
BUDGET = {"attempts": 10, "steps": 5, "cost_usd": 1.0, "repairs": 2, "time_s": 60.0}


def a_past(
    index: int, tool: str, status: StepStatus = OK, *, asked_s: float = 0, done_s: float = 1, **facts: Any
) -> EndedStep:
    step = a_step(index, tool, **{"status": status, "attempt": 1, "effect": Effect.KEYED, **facts})
    return EndedStep(step, START + timedelta(seconds=asked_s), START + timedelta(seconds=done_s))


def an_end(
    *steps: EndedStep, error: dict[str, Any] | None = None, has_successor: bool = False, **facts: Any
) -> EndedRun:
    run = a_run(**{"status": RunStatus.FAILED, "budget": BUDGET, **facts})
    return EndedRun(run, error or {}, steps, has_successor)


def reopened(ended: EndedRun, step_index: int | None = None) -> list[int]:
    return [step.step_index for step in steps_to_reopen(ended, step_index)]


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        (an_end(status=RunStatus.DONE), "it is done: only a failed run is retried"),
        (an_end(status=RunStatus.CANCELLED), "it is cancelled: only a failed run is retried"),
        (an_end(status=RunStatus.WAITING_HUMAN), "it is waiting_human: it is not over"),
        (an_end(compensation="done"), "what it did has been undone"),
        (an_end(has_successor=True, conversation_id="c1"), "a later run of its conversation 'c1' has begun"),
    ],
    ids=["done", "cancelled", "open", "undone", "conversation went on"],
)
def test_only_a_failed_run_whose_effects_stand_and_that_nobody_followed_is_taken_up_again(
    ended: EndedRun, why: str
) -> None:
    assert why in (refuse_reopening(ended) or "")


@pytest.mark.parametrize("compensation", [None, "kept", "failed"])
def test_a_failed_run_is_taken_up_again(compensation: str | None) -> None:
    assert refuse_reopening(an_end(compensation=compensation)) is None


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_an_undoing_that_failed_is_taken_up_again_whatever_was_said_since(status: RunStatus) -> None:
    assert refuse_reopening(an_end(status=status, compensation="failed", has_successor=True)) is None


def test_the_step_that_the_run_names_is_tried_again() -> None:
    steps = [a_past(0, "look", ERROR), a_past(1, "pay", ERROR), a_past(2, "ship", ERROR)]

    assert reopened(an_end(*steps, error={"step_index": 1})) == [1]


def test_without_a_name_the_newest_failure_is_tried_again() -> None:
    steps = [a_past(0, "look"), a_past(1, "pay", ERROR), a_past(2, "ship")]

    assert reopened(an_end(*steps, error={"kind": "quota"})) == [1]


def test_a_failure_that_the_model_was_told_of_is_left_as_it_is() -> None:
    steps = [a_past(0, MODEL), a_past(1, "pay", ERROR, done_s=2), a_past(2, MODEL, asked_s=3, done_s=4)]

    assert reopened(an_end(*steps, error={"kind": "deadline"})) == []
    assert "the run went on from step 1 (pay)" in (refuse_step(an_end(*steps), 1) or "")


def test_what_the_end_of_the_run_skipped_is_done_again_too() -> None:
    parked = {"kind": "transient", "message": "503", "happened": False}
    steps = [
        a_past(0, "pay", ERROR),
        a_past(1, "ship", SKIPPED, attempt=0),
        a_past(2, "note", SKIPPED, attempt=2, error=parked),
    ]

    assert reopened(an_end(*steps, error={"step_index": 0})) == [0, 1, 2]


def test_what_a_person_refused_stays_refused() -> None:
    rejected = {"kind": "rejected", "message": "no", "happened": False}
    steps = [a_past(0, "pay", SKIPPED, attempt=0, error=rejected), a_past(1, "ship", ERROR)]

    assert reopened(an_end(*steps, error={"step_index": 1})) == [1]


def test_the_operator_may_choose_the_failed_step() -> None:
    steps = [a_past(0, "pay", ERROR), a_past(1, "ship", ERROR)]

    assert reopened(an_end(*steps, error={"step_index": 0}), 1) == [1]


@pytest.mark.parametrize(
    ("index", "why"),
    [(0, "step 0 (look) is ok"), (7, "it has no step 7; its last one is 2"), (2, "belongs to how the run ended")],
    ids=["a step that went well", "no step", "the question whether to undo"],
)
def test_a_step_that_cannot_be_tried_again_is_refused(index: int, why: str) -> None:
    ended = an_end(a_past(0, "look"), a_past(1, "pay", ERROR), a_past(2, APPROVAL, ERROR, effect=Effect.READ))

    assert why in (refuse_step(ended, index) or "")


def test_of_a_run_whose_undoing_failed_the_undoing_alone_is_tried_again() -> None:
    steps = [
        a_past(0, "pay"),
        a_past(1, "ship", ERROR),
        a_past(2, COMPENSATE, ERROR, subject_index=0, subject_tool="pay"),
    ]
    ended = an_end(*steps, error={"step_index": 1}, compensation="failed")

    assert reopened(ended) == [2]
    assert refuse_step(ended, 2) is None
    assert "is not what could not be undone" in (refuse_step(ended, 1) or "")


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("happened", [True, False, None])
def test_a_repeat_is_refused_where_it_could_do_something_twice(effect: Effect, happened: bool | None) -> None:
    step = a_step(0, "pay", status=ERROR, effect=effect, error={"kind": "bug", "happened": happened})

    refused = refuse_repeat(step) is not None

    assert refused is (effect in {Effect.UNSAFE, Effect.VERIFIED} and happened is not False)


def test_a_repeat_that_a_person_could_allow_says_how() -> None:
    step = a_step(3, "pay", status=ERROR, effect=Effect.UNSAFE, error={"kind": "resolved", "happened": None})

    assert "--step 3 fail --did-not-happen" in (refuse_repeat(step) or "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("budget_steps", "steps"), ("budget_cost_usd", "cost_usd"), ("malformed_answers", "repairs")],
)
def test_a_ceiling_that_ended_the_run_has_to_be_raised(kind: str, name: str) -> None:
    ended = an_end(error={"kind": kind})

    assert f"--budget {name}=" in (refuse_ceiling(ended, BUDGET) or "")
    assert refuse_ceiling(ended, {**BUDGET, name: 99}) is None


def test_attempts_that_are_used_up_have_to_be_raised_whatever_ended_the_run() -> None:
    ended = an_end(error={"kind": "tool_failed"}, spent=Spent(attempts=10))

    assert "its budget of 10 attempts is used up; raise it: --budget attempts=30" in (
        refuse_ceiling(ended, BUDGET) or ""
    )
    assert refuse_ceiling(ended, {**BUDGET, "attempts": 11}) is None


def test_attempts_that_ended_the_run_need_only_be_more_than_were_used() -> None:
    assert refuse_ceiling(an_end(error={"kind": "budget_attempts"}, spent=Spent(attempts=9)), BUDGET) is None


@pytest.mark.parametrize("kind", ["deadline", "budget_unpriced_model", "tool_failed", "steps"])
def test_what_a_new_try_need_not_meet_again_is_no_ceiling(kind: str) -> None:
    assert refuse_ceiling(an_end(error={"kind": kind}), BUDGET) is None


def test_what_undoes_a_run_does_not_ask_for_its_attempts() -> None:
    assert refuse_ceiling(an_end(compensation="failed", spent=Spent(attempts=10)), BUDGET) is None
