from __future__ import annotations

import re
from typing import Any, cast

import pytest

from agentflow import Agent, Budget, DeclarationError, Pipeline, SubmissionRefused, tool
from agentflow.declare.budget import lower_budget

WHOLE = ["steps", "tool_calls", "attempts", "tokens", "same_call", "repairs", "compensation_attempts"]
DECLARED = Budget(steps=20, tool_calls=12, cost_usd=0.4, time_s=120, tokens=9_000).as_json()
OPEN = Budget(cost_usd=None).as_json()


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


def test_a_budget_has_the_ceilings_that_the_design_names_by_default() -> None:
    assert Budget().as_json() == {
        "steps": 50, "tool_calls": 40, "attempts": 60, "tokens": None, "cost_usd": 1.0, "time_s": 900.0,
        "same_call": 5, "repairs": 2, "compensation_attempts": 20,
    }  # fmt: skip


@pytest.mark.parametrize("name", [*WHOLE, "cost_usd", "time_s"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 10**400, "5", True], ids=lambda v: repr(v)[:9])
def test_a_ceiling_that_is_no_amount_is_refused(name: str, value: Any) -> None:
    with pytest.raises(DeclarationError, match=rf"Budget\({name}=.*: give a (whole|finite) number, zero or more"):
        Budget(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
def test_a_count_is_whole(name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"Budget\({name}=2.5\): give a whole number"):
        Budget(**cast("Any", {name: 2.5}))


@pytest.mark.parametrize("name", [*(name for name in WHOLE if name != "tokens"), "time_s"])
def test_what_keeps_a_run_from_going_on_for_ever_cannot_be_left_open(name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"Budget\({name}=None\)"):
        Budget(**cast("Any", {name: None}))


def test_tokens_and_cost_may_be_left_open() -> None:
    assert Budget(tokens=None, cost_usd=None).cost_usd is None


def test_a_ceiling_of_nothing_is_a_ceiling() -> None:
    assert Budget(attempts=0, cost_usd=0, time_s=0).as_json()["time_s"] == 0


@pytest.mark.parametrize("budget", [{"steps": 3}, 20], ids=repr)
def test_a_declaration_takes_nothing_but_a_budget(budget: Any) -> None:
    for declare in (lambda: Agent("a", model="openai:x", budget=budget), lambda: Pipeline("p", [look], budget=budget)):
        with pytest.raises(DeclarationError, match=re.escape(f"budget={budget!r} of ")):
            declare()


def test_a_submission_without_a_budget_has_the_declared_one() -> None:
    assert lower_budget("refunds", DECLARED, None) == lower_budget("refunds", DECLARED, {}) == DECLARED


def test_a_mapping_lowers_what_it_names_and_nothing_else() -> None:
    lowered = lower_budget("refunds", DECLARED, {"cost_usd": 0.1, "time_s": 5, "steps": 20})

    assert lowered == {**DECLARED, "cost_usd": 0.1, "time_s": 5}


def test_a_budget_lowers_every_ceiling() -> None:
    wanted = Budget(1, 1, 1, 1, 0.1, 1, 1, 1, 1)

    assert lower_budget("refunds", DECLARED, wanted) == wanted.as_json()


def test_a_ceiling_that_was_left_open_may_be_set_or_left_open() -> None:
    assert lower_budget("refunds", OPEN, {"cost_usd": 3, "tokens": None}) == {**OPEN, "cost_usd": 3}


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"steps": 21}, "steps=21 is above the 20 that 'refunds' declares; give at most 20"),
        ({"cost_usd": 0.41}, "cost_usd=0.41 is above the 0.4 that 'refunds' declares; give at most 0.4"),
        ({"time_s": 120.5}, "time_s=120.5 is above the 120 that 'refunds' declares"),
        ({"tokens": None}, "tokens=None is above the 9000 that 'refunds' declares"),
        ({"repairs": 3}, "repairs=3 is above the 2 that 'refunds' declares"),
        ({"time_s": None}, "time_s=None is no ceiling; give a finite number"),
        ({"steps": 1.5}, "steps=1.5 is no ceiling; give a whole number"),
        ({"steps": True}, "steps=True is no ceiling; give a whole number"),
        ({"cost_usd": -0.1}, "cost_usd=-0.1 is no ceiling; give a finite number, zero or more"),
        ({"cost_usd": float("nan")}, "cost_usd=nan is no ceiling; give a finite number"),
        ({"cost_usd": "0.1"}, "cost_usd='0.1' is no ceiling; give a finite number"),
        ({"cost": 0.1}, "'cost' is no ceiling of 'refunds'; lower one of steps, tool_calls, attempts"),
        ({7: 0.1}, "7 is no ceiling of 'refunds'"),
        (Budget(cost_usd=0.1), "steps=50 is above the 20 .*; a Budget states every ceiling, a mapping those to lower"),
        (0.1, "budget=0.1: give a mapping of the ceilings to lower, or a Budget"),
        ([("steps", 1)], r"budget=\[.*\]: give a mapping"),
    ],
    ids=repr,
)
def test_an_override_that_lowers_nothing_is_refused_with_both_numbers(wanted: Any, complaint: str) -> None:
    with pytest.raises(SubmissionRefused, match=complaint):
        lower_budget("refunds", DECLARED, wanted)
