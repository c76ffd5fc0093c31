from __future__ import annotations

from decimal import Decimal

import pytest

from agentflow.domain.decision import Decision, Done, Fail, Next, Wait
from agentflow.domain.run import Reserved, RunStatus, Spent
from agentflow.domain.step import COMPENSATE, MODEL, VERIFY, NewStep, StepStatus
from agentflow.policy.budget import (
    COMPENSATION_ATTEMPTS,
    VERIFICATION_ATTEMPTS,
    NoRoom,
    attempts_left,
    attempts_left_of,
    room_for,
    within_budget,
)
from agentflow.policy.scratchpad import conflicting_keys, merged
from agentflow.policy.status import Standing, standing_of
from agentflow.store.steps import OpenStep
from tests.unit.given import a_locked_step, a_run, a_step


def lookups(count: int) -> Next:
    return Next([NewStep("lookup", {"n": n}) for n in range(count)])


@pytest.mark.parametrize("decision", [Wait(), Done("x"), Fail("why", "because")])
def test_what_asks_for_nothing_is_within_every_budget(decision: Decision) -> None:
    assert within_budget(decision, a_run(budget={"steps": 0, "tool_calls": 0}), []) is decision


@pytest.mark.parametrize(
    ("budget", "reason"),
    [({"steps": 3}, "budget_steps"), ({"tool_calls": 2}, "budget_tool_calls"), ({"same_call": 0}, "budget_same_call")],
    ids=["steps", "tool_calls", "same_call"],
)
def test_a_decision_that_would_pass_a_ceiling_fails_the_run_with_its_name(budget: dict[str, int], reason: str) -> None:
    answer = within_budget(lookups(3), a_run(budget=budget), [a_step(0, MODEL)])

    assert isinstance(answer, Fail)
    assert answer.reason == reason


def test_a_decision_that_just_fits_is_kept() -> None:
    run = a_run(budget={"steps": 4, "tool_calls": 3, "same_call": 1})
    decision = lookups(3)

    assert within_budget(decision, run, [a_step(0, MODEL)]) is decision


def test_model_calls_are_steps_but_no_tool_calls() -> None:
    decision = Next([NewStep(MODEL, {})])
    history = [a_step(0, MODEL), a_step(1, MODEL)]

    assert within_budget(decision, a_run(budget={"tool_calls": 0}), history) is decision
    assert isinstance(within_budget(decision, a_run(budget={"steps": 2}), history), Fail)


def test_the_same_call_again_and_again_is_noticed_however_its_arguments_are_ordered() -> None:
    history = [a_step(0, "lookup", input={"a": 1, "b": 2}), a_step(1, "lookup", input={"b": 2, "a": 1})]

    answer = within_budget(Next([NewStep("lookup", {"a": 1, "b": 2})]), a_run(budget={"same_call": 2}), history)

    assert isinstance(answer, Fail)
    assert answer.message == "'lookup' would be called 3 times with the same arguments; 2 are allowed"


def test_other_arguments_or_another_tool_are_not_the_same_call() -> None:
    history = [a_step(0, "lookup", input={"a": 1}), a_step(1, "refund", input={"a": 2})]
    decision = Next([NewStep("lookup", {"a": 2}), NewStep("refund", {"a": 1})])

    assert within_budget(decision, a_run(budget={"same_call": 1}), history) is decision


CEILINGS = {"attempts": 5, "tokens": 100, "cost_usd": 0.1}


@pytest.mark.parametrize(
    ("spent", "reserved", "asked", "refusal"),
    [
        (Spent(), Reserved(), Reserved(100, Decimal("0.1")), None),
        (Spent(), Reserved(), Reserved(101, Decimal(0)), NoRoom("tokens")),
        (Spent(tokens=60), Reserved(), Reserved(41, Decimal(0)), NoRoom("tokens")),
        (Spent(cost_usd=Decimal("0.06")), Reserved(), Reserved(1, Decimal("0.04")), None),
        (Spent(cost_usd=Decimal("0.06")), Reserved(), Reserved(1, Decimal("0.040000001")), NoRoom("cost_usd")),
        (Spent(), Reserved(60, Decimal(0)), Reserved(41, Decimal(0)), NoRoom("tokens", passing=True)),
        (Spent(), Reserved(1, Decimal("0.07")), Reserved(1, Decimal("0.04")), NoRoom("cost_usd", passing=True)),
        (Spent(), Reserved(90, Decimal("0.09")), Reserved(90, Decimal("0.2")), NoRoom("cost_usd")),
    ],
    ids=["all of it", "more", "on top", "to the last cent", "a trifle over", "others' tokens", "others' cost", "both"],
)
def test_a_model_call_has_room_if_all_it_may_use_fits(
    spent: Spent, reserved: Reserved, asked: Reserved, refusal: NoRoom | None
) -> None:
    run = a_run(budget=CEILINGS, spent=spent, reserved=reserved)

    assert room_for(run, asked, is_priced=True) == refusal


def test_a_model_without_a_price_has_no_room_under_a_ceiling_of_cost() -> None:
    asked = Reserved(10, Decimal(0))

    assert room_for(a_run(budget=CEILINGS), asked, is_priced=False) == NoRoom("unpriced_model")
    assert room_for(a_run(budget={"cost_usd": None}), asked, is_priced=False) is None


@pytest.mark.parametrize(("spent", "left"), [(0, 5), (4, 1), (5, 0), (7, 0)])
def test_attempts_are_left_up_to_their_ceiling(spent: int, left: int) -> None:
    assert attempts_left(a_run(budget=CEILINGS, spent=Spent(attempts=spent))) == left


@pytest.mark.parametrize(
    ("own", "attempt", "left"),
    [
        (VERIFY, 1, VERIFICATION_ATTEMPTS - 1),
        (VERIFY, VERIFICATION_ATTEMPTS, 0),
        (VERIFY, VERIFICATION_ATTEMPTS + 2, 0),
        (COMPENSATE, 1, COMPENSATION_ATTEMPTS - 1),
        (COMPENSATE, COMPENSATION_ATTEMPTS, 0),
    ],
)
def test_what_clears_up_after_a_run_has_ceilings_of_its_own(own: str, attempt: int, left: int) -> None:
    spent = a_run(budget={"attempts": 3}, spent=Spent(attempts=3))

    assert attempts_left_of(spent, a_locked_step(tool_name=own), attempt) == left
    assert attempts_left_of(spent, a_locked_step(), attempt) == 0


def test_a_ceiling_that_is_not_set_is_never_reached() -> None:
    run = a_run(budget={"tokens": None}, spent=Spent(attempts=10**6, tokens=10**9))

    assert attempts_left(run) is None
    assert room_for(run, Reserved(10**9, Decimal(10**6)), is_priced=True) is None


def an_open_step(status: StepStatus, *, parked_for: str | None = None) -> OpenStep:
    return OpenStep(1, status, parked_for is not None, parked_for)


PENDING = an_open_step(StepStatus.PENDING)
RUNNING = an_open_step(StepStatus.RUNNING)
PARKED = an_open_step(StepStatus.PENDING, parked_for="key_in_flight")
DOUBT = an_open_step(StepStatus.IN_DOUBT)


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        ([], Standing(RunStatus.RUNNING)),
        ([PENDING], Standing(RunStatus.RUNNING)),
        ([RUNNING], Standing(RunStatus.RUNNING)),
        ([PARKED, PARKED], Standing(RunStatus.WAITING_TOOL, "key_in_flight")),
        ([PARKED, RUNNING], Standing(RunStatus.RUNNING)),
        ([PARKED, PENDING], Standing(RunStatus.RUNNING)),
        ([DOUBT], Standing(RunStatus.WAITING_HUMAN, "in_doubt")),
        ([RUNNING, PARKED, DOUBT], Standing(RunStatus.WAITING_HUMAN, "in_doubt")),
    ],
    ids=["nothing", "pending", "running", "parked", "parked beside running", "parked beside pending", "doubt", "all"],
)
def test_a_run_stands_where_its_open_steps_say(steps: list[OpenStep], standing: Standing) -> None:
    assert standing_of(steps) == standing


@pytest.mark.parametrize(
    ("snapshot", "current", "changes", "conflicts"),
    [
        ({}, {}, {"a": 1}, []),
        ({"a": 1}, {"a": 1}, {"a": 2}, []),
        ({"a": 1}, {"a": 1, "b": 9}, {"a": 2}, []),
        ({}, {"a": 1}, {"a": 1}, ["a"]),
        ({"a": 1}, {"a": 2}, {"a": 3}, ["a"]),
        ({"a": 1}, {}, {"a": 3}, ["a"]),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"b": None, "a": 0}, ["a", "b"]),
        ({"a": 1}, {"a": 2}, {}, []),
    ],
)
def test_a_changed_key_that_another_step_changed_meanwhile_is_a_conflict(
    snapshot: dict[str, int], current: dict[str, int], changes: dict[str, int | None], conflicts: list[str]
) -> None:
    assert conflicting_keys(snapshot, current, changes) == conflicts


def test_changes_are_merged_key_by_key_and_none_takes_a_key_out() -> None:
    assert merged({"a": 1, "b": 2}, {"b": None, "c": 3}) == {"a": 1, "c": 3}
