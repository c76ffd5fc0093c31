"""What of a run is undone, in which order, whether a person is asked, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agentflow.domain.decision import Compensate, Fail
from agentflow.domain.run import Compensation, Ending, RunStatus
from agentflow.domain.step import APPROVAL, COMPENSATE, VERIFY, Effect, Step, StepStatus
from agentflow.policy.undoing import AskFirst, Effected, NotYet, Undone, UndoNext, decide_undo, effects_of, ending_of
from tests.unit.given import a_run, a_step

OK, ERROR, SKIPPED = StepStatus.OK, StepStatus.ERROR, StepStatus.SKIPPED
OPEN = (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.IN_DOUBT)
TAKES_NONE = {"order": False, "ship": True}
FAILS = Fail("tool_failed", "no room", 3)
ENDING = Ending(RunStatus.FAILED, "tool_failed", "no room", 3)
ASKING = Ending(RunStatus.FAILED, "tool_failed", asks=True, asked_index=1)


def a_deed(index: int, tool: str = "order", **facts: Any) -> Step:
    """A call of a tool that can be undone, made by this run."""
    return a_step(index, tool, **{"effect": Effect.KEYED, "attempt": 1, "output": f"{tool} {index}", **facts})


def a_failure(index: int, tool: str = "order", status: StepStatus = ERROR, *, attempt: int = 1, **error: Any) -> Step:
    told = {"kind": "bug", "message": "no", **error}
    return a_deed(index, tool, status=status, attempt=attempt, output=None, error=told)


def an_undoing(index: int, subject: int, status: StepStatus = OK) -> Step:
    return a_step(index, COMPENSATE, status=status, subject_index=subject, subject_tool="order", effect=Effect.KEYED)


def an_answer(index: int, status: StepStatus) -> Step:
    return a_step(index, APPROVAL, status=status)


def effects(*history: Step, late: Mapping[int, Any] | None = None) -> list[Effected]:
    return effects_of(history, TAKES_NONE, late or {})


def decided(ending: Ending, *history: Step) -> object:
    return decide_undo(ending, history, effects(*history), TAKES_NONE)


def indexes(found: Sequence[Effected]) -> list[int]:
    return [each.step.step_index for each in found]


def test_effects_are_the_newest_first_with_what_they_gave() -> None:
    found = effects(a_deed(0), a_step(1, "model"), a_deed(2, "ship"))

    assert [(each.step.step_index, each.result, each.is_known) for each in found] == [
        (2, "ship 2", True),
        (0, "order 0", True),
    ]


@pytest.mark.parametrize(
    "step",
    [
        a_deed(0, effect=Effect.READ),
        a_deed(0, attempt=0),
        a_deed(0, "greet"),
        a_failure(0, happened=False),
        a_failure(0),
        a_deed(0, status=SKIPPED, attempt=0, output=None),
        a_failure(0, attempt=0, happened=None),
        a_deed(0, VERIFY),
        *(a_deed(0, status=status, output=None) for status in OPEN[:2]),
    ],
    ids=[
        "read",
        "answered from elsewhere",
        "nothing undoes it",
        "did not happen",
        "refused before the call",
        "never begun",
        "settled without a call",
        "verification",
        "pending",
        "running",
    ],
)
def test_what_this_run_did_not_do_is_no_effect_of_it(step: Step) -> None:
    assert effects(step) == []


@pytest.mark.parametrize("status", [ERROR, SKIPPED])
@pytest.mark.parametrize("happened", [None, True], ids=["may have", "did"])
def test_a_failure_that_may_have_happened_is_an_effect_whose_result_nobody_knows(
    status: StepStatus, happened: bool | None
) -> None:
    [found] = effects(a_failure(0, status=status, happened=happened))

    assert (found.result, found.is_known) == (None, False)


def test_a_failure_that_kept_what_the_call_gave_is_an_effect_with_that_result() -> None:
    [found] = effects(a_failure(0, happened=True, output="order 0"))

    assert (found.result, found.is_known) == ("order 0", True)


@pytest.mark.parametrize("happened", [False, None, True])
def test_a_result_that_came_too_late_joins(happened: bool | None) -> None:
    [found] = effects(a_failure(0, happened=happened), late={0: "late order"})

    assert (found.result, found.is_known) == ("late order", True)


def test_of_a_step_that_went_well_later_its_own_result_counts_and_not_the_late_one() -> None:
    assert [each.result for each in effects(a_deed(0), late={0: "late"})] == ["order 0"]


def test_what_is_undone_is_no_effect_any_more_and_what_could_not_be_still_is() -> None:
    history = [a_deed(0), a_deed(1), an_undoing(2, 1), an_undoing(3, 0, ERROR)]

    assert indexes(effects(*history)) == [0]


def test_what_another_run_owns_by_now_is_no_effect_any_more() -> None:
    assert effects(a_deed(0), an_undoing(1, 0, SKIPPED)) == []


@pytest.mark.parametrize(
    ("on_failure", "asks"), [("compensate", False), ("ask", True), ("keep", None)], ids=["compensate", "ask", "keep"]
)
def test_a_run_that_fails_ends_as_its_declaration_says(on_failure: str, asks: bool | None) -> None:
    ending = ending_of(a_run(on_failure=on_failure), FAILS, effects(a_deed(0)))

    expected = None if asks is None else Ending(RunStatus.FAILED, "tool_failed", "no room", 3, asks=asks)
    assert ending == expected


@pytest.mark.parametrize("on_failure", ["compensate", "ask", "keep"])
def test_a_coordinator_that_says_compensate_is_obeyed_and_nobody_is_asked(on_failure: str) -> None:
    ending = ending_of(a_run(on_failure=on_failure), Compensate("sold_out", "no seat", 2), effects(a_deed(0)))

    assert ending == Ending(RunStatus.FAILED, "sold_out", "no seat", 2)


@pytest.mark.parametrize("decision", [FAILS, Compensate("sold_out")])
@pytest.mark.parametrize("on_failure", ["compensate", "ask"])
def test_a_run_that_did_nothing_ends_at_once(on_failure: str, decision: Fail | Compensate) -> None:
    assert ending_of(a_run(on_failure=on_failure), decision, []) is None


def test_the_newest_effect_is_undone_first_and_then_the_one_before() -> None:
    first = decided(ENDING, a_deed(0), a_deed(1))
    second = decided(ENDING, a_deed(0), a_deed(1), an_undoing(2, 1))

    assert isinstance(first, UndoNext)
    assert isinstance(second, UndoNext)
    assert indexes([first.effected, second.effected]) == [1, 0]


@pytest.mark.parametrize("status", OPEN)
def test_nothing_is_undone_while_a_step_is_open(status: StepStatus) -> None:
    assert decided(ENDING, a_deed(0), a_deed(1, status=status)) == NotYet()
    assert decided(ENDING, a_deed(0), a_deed(1), an_undoing(2, 1, status)) == NotYet()


def test_once_all_is_undone_it_is_done() -> None:
    assert decided(ENDING, a_deed(0), an_undoing(1, 0)) == Undone(Compensation.DONE)


def test_the_first_undoing_that_fails_ends_it_and_the_older_effects_are_left() -> None:
    answer = decided(ENDING, a_deed(0), a_deed(1), an_undoing(2, 1, ERROR))

    assert answer == Undone(Compensation.FAILED, "what 'order' did (step 1) could not be undone", 2)


def test_what_may_have_happened_is_undone_with_none_where_its_compensation_takes_that() -> None:
    answer = decided(ENDING, a_failure(0, "ship", happened=None))

    assert isinstance(answer, UndoNext)
    assert answer.effected.result is None


def test_what_may_have_happened_cannot_be_undone_where_the_result_is_needed() -> None:
    answer = decided(ENDING, a_failure(0, "order", happened=None))

    assert isinstance(answer, Undone)
    assert (answer.compensation, answer.step_index) == ("failed", 0)
    assert "'order' (step 0) may have happened" in answer.message


def test_a_person_is_asked_before_anything_is_undone() -> None:
    answer = decided(Ending(RunStatus.FAILED, "tool_failed", asks=True), a_deed(0), a_deed(1))

    assert isinstance(answer, AskFirst)
    assert indexes(answer.effects) == [1, 0]


def test_a_persons_approval_begins_it() -> None:
    assert isinstance(decided(ASKING, a_deed(0), an_answer(1, OK)), UndoNext)


@pytest.mark.parametrize("status", [SKIPPED, ERROR])
def test_without_a_persons_approval_what_was_done_stays(status: StepStatus) -> None:
    assert decided(ASKING, a_deed(0), an_answer(1, status)) == Undone(Compensation.KEPT)


@pytest.mark.parametrize("status", [OK, SKIPPED])
def test_what_a_person_said_when_the_run_failed_before_does_not_answer_for_this_time(status: StepStatus) -> None:
    answer = decided(Ending(RunStatus.FAILED, "tool_failed", asks=True), a_deed(0), an_answer(1, status), a_deed(2))

    assert isinstance(answer, AskFirst)


def test_while_a_person_is_asked_nothing_is_undone() -> None:
    assert decided(ASKING, a_deed(0), an_answer(1, StepStatus.PENDING)) == NotYet()
