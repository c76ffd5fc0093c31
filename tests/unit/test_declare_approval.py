from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentflow import Context, DeclarationError, tool
from agentflow.declare.tool import Tool
from agentflow.domain.waiting import Person

HERE = r"test_declare_approval\.py:\d+: "


def refund(order_id: str, cents: int = 5) -> str:
    """Refund an order."""
    return f"{order_id} {cents}"


def declared(approval: Any) -> Tool[..., Any]:
    return tool(effect="idempotent", approval=approval)(refund)


class Above:
    """Callable, but no function."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, cents: int) -> bool:
        return cents > self.limit


@pytest.mark.parametrize(("approval", "person"), [(True, Person.APPROVAL), (False, None)])
def test_approval_is_wanted_always_or_never(approval: bool, person: Person | None) -> None:
    assert declared(approval).person_for({"order_id": "1"}) is person


@pytest.mark.parametrize(("cents", "person"), [(5000, None), (5001, Person.APPROVAL)])
def test_a_predicate_is_given_the_arguments_that_it_names(cents: int, person: Person | None) -> None:
    assert declared(lambda cents: cents > 5000).person_for({"order_id": "1", "cents": cents}) is person


def test_a_predicate_is_given_the_default_of_an_argument_that_the_call_left_out() -> None:
    assert declared(lambda cents: cents == 5).person_for({"order_id": "1"}) is Person.APPROVAL


def test_a_predicate_may_be_an_object_that_is_called() -> None:
    assert declared(Above(3)).person_for({"order_id": "1"}) is Person.APPROVAL


@pytest.mark.parametrize(
    ("approval", "arguments", "complaint"),
    [
        (lambda order_id: None, {"order_id": "1"}, "it answered None; answer True or False"),
        (lambda order_id: order_id["x"], {"order_id": "1"}, "string indices"),
        (lambda order_id: True, {"order": "1"}, "order_id: Field required"),
    ],
    ids=["no answer", "an error", "wrong arguments"],
)
def test_a_predicate_that_cannot_say_lets_no_call_through(
    approval: Callable[..., bool], arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=f"the approval of 'refund' cannot be judged: .*{complaint}"):
        declared(approval).person_for(arguments)


async def at_some_time(cents: int) -> bool:
    return cents > 5


def with_context(ctx: Context, cents: int) -> bool:
    return cents > ctx.attempt


@pytest.mark.parametrize(
    ("approval", "complaint"),
    [
        (
            lambda amount: amount > 5,
            "the approval of 'refund' takes 'amount'; the call's own arguments are order_id, cents",
        ),
        (lambda **given: True, r"takes \*\*given; name every parameter"),
        (at_some_time, "the approval of 'refund' is no plain function"),
        (with_context, "takes a Context, but is asked before there is a call; it takes the call's own arguments alone"),
    ],
)
def test_a_predicate_that_cannot_work_is_refused_with_its_place_and_a_mend(approval: Any, complaint: str) -> None:
    with pytest.raises(DeclarationError, match=HERE + f".*{complaint}"):
        declared(approval)
