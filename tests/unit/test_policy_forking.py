"""Whether a run may be begun anew from one of its steps."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.domain.step import APPROVAL, COMPENSATE, MODEL, VERIFY, Effect, Step, StepStatus
from agentflow.policy.forking import overrides_of, rebuilt_notes, refuse_effects, refuse_place
from tests.unit.given import a_run, a_step

HARMLESS = {StepStatus.PENDING, StepStatus.ERROR, StepStatus.SKIPPED}


def a_call(index: int, tool: str = "pay", **facts: Any) -> Step:
    own_key = f"run-1:{index}"
    return a_step(index, tool, **{"effect": Effect.UNSAFE, "idempotency_key": own_key, **facts})


def a_model(index: int) -> Step:
    return a_call(index, MODEL, effect=Effect.READ)


def undoing(index: int, subject: int, status: StepStatus = StepStatus.OK) -> Step:
    return a_call(index, COMPENSATE, status=status, subject_index=subject, subject_tool="pay")


@pytest.mark.parametrize("from_step", [-1, 4, 99])
def test_a_place_that_the_run_does_not_have_is_refused(from_step: int) -> None:
    history = [a_model(0), a_call(1), a_model(2)]

    assert f"step {from_step} is not a step to fork from; give one from 0 to 3" in (
        refuse_place(history, from_step) or ""
    )


@pytest.mark.parametrize("from_step", [0, 1, 2, 3])
def test_any_step_and_the_end_are_places_to_fork_from(from_step: int) -> None:
    assert refuse_place([a_model(0), a_call(1), a_model(2)], from_step) is None


@pytest.mark.parametrize("ending", [APPROVAL, COMPENSATE])
def test_how_a_run_ended_is_not_copied(ending: str) -> None:
    history = [a_model(0), a_call(1), a_call(2, ending), a_call(3, ending)]

    assert refuse_place(history, 2) is None
    assert "give one from 0 to 2" in (refuse_place(history, 3) or "")


@pytest.mark.parametrize("status", [StepStatus.PENDING, StepStatus.RUNNING, StepStatus.IN_DOUBT])
def test_a_step_is_copied_once_it_has_ended(status: StepStatus) -> None:
    history = [a_call(0, status=status), a_call(1)]

    assert f"step 0 (pay) is {status} and cannot be copied" in (refuse_place(history, 1) or "")
    assert refuse_place(history, 0) is None


@pytest.mark.parametrize("status", StepStatus)
def test_an_effect_after_the_place_stands_in_the_way(status: StepStatus) -> None:
    history = [a_model(0), a_call(1, status=status)]

    assert (refuse_effects(history, 1) is None) is (status in HARMLESS)
    assert refuse_effects(history, 2) is None


@pytest.mark.parametrize("happened", [True, None])
def test_a_failure_that_may_have_happened_stands_in_the_way(happened: bool | None) -> None:
    failed = a_call(0, status=StepStatus.ERROR, error={"kind": "timeout", "happened": happened})

    assert "the copy could do it once more" in (refuse_effects([failed], 0) or "")


@pytest.mark.parametrize(
    "harmless",
    [
        [a_call(0, effect=Effect.READ)],
        [a_call(0, idempotency_key="refund:4421")],
        [a_call(0), undoing(1, subject=0)],
        [a_call(0, VERIFY, effect=Effect.READ)],
    ],
    ids=["read", "business key", "undone", "verification"],
)
def test_what_a_copy_can_do_again_without_harm_stands_in_no_way(harmless: list[Step]) -> None:
    assert refuse_effects(harmless, 0) is None


@pytest.mark.parametrize("status", [StepStatus.RUNNING, StepStatus.IN_DOUBT, StepStatus.ERROR])
def test_an_effect_that_is_not_undone_yet_stands_in_the_way(status: StepStatus) -> None:
    assert refuse_effects([a_call(0), undoing(1, subject=0, status=status)], 0) is not None


@pytest.mark.parametrize("status", [StepStatus.OK, StepStatus.RUNNING, StepStatus.IN_DOUBT])
def test_what_was_undone_since_is_not_copied_as_if_it_stood(status: StepStatus) -> None:
    history = [a_call(0), a_call(1, status=StepStatus.ERROR), undoing(2, subject=0, status=status)]

    assert "step 0 (pay) would be copied, and has been undone since" in (refuse_effects(history, 1) or "")


def test_the_copy_begins_with_the_notes_of_its_steps() -> None:
    steps = [a_call(0, noted={"a": 1, "b": 1}), a_call(1), a_call(2, noted={"b": 2, "a": None})]

    assert rebuilt_notes(steps) == {"b": 2}


def test_a_fork_of_a_fork_keeps_what_it_is_not_given_anew() -> None:
    run = a_run(overrides={"model": "openai:a", "instructions": "be kind"})

    assert overrides_of(run, "openai:b", None) == {"model": "openai:b", "instructions": "be kind"}
