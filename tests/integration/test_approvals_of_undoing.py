"""What a run did that failed: a person says whether it is undone, or stays."""

from __future__ import annotations

import pytest

from agentflow import Context, Pipeline, ToolError, tool
from agentflow.client.approvals import Approvals
from agentflow.testing import Harness
from tests.integration.asked import CALLS, approval_id, asked_of, let_expire
from tests.integration.hands import Hands


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def people(agentflow: Harness) -> Approvals:
    return agentflow.client.approvals


@tool(effect="keyed")
def ship(ctx: Context, order_id: str) -> str:
    CALLS.append({"shipped": ctx.idempotency_key})
    return order_id


@ship.compensate
def unship(ctx: Context, result: str) -> None:
    CALLS.append({"taken back": result, "of": ctx.subject_key, "under": ctx.idempotency_key})


@tool(effect="read")
def fail() -> None:
    raise ToolError("no such address", happened=False)


shipping = Pipeline("shipping", [ship, fail], on_failure="ask")


@pytest.fixture
def shipped(agentflow: Harness) -> tuple[Hands, str]:
    """A run that failed after it did something, and waits to be told whether to undo that."""
    hands = Hands(agentflow, shipping)
    run_id = hands.submit(shipping, {"order_id": "4421"})
    hands.work()
    return hands, run_id


def test_failed_run_asks_whether_what_it_did_shall_be_undone(shipped: tuple[Hands, str]) -> None:
    hands, run_id = shipped

    asked = asked_of(hands, run_id, "undo")
    assert (hands.run_row(run_id)["status"], len(CALLS)) == ("waiting_human", 1)
    assert asked["asked"]["effects"] == [{"step": 0, "tool": "ship"}]
    assert "no such address" in asked["asked"]["message"]


def test_what_it_did_is_undone_once_a_person_says_so(shipped: tuple[Hands, str], people: Approvals) -> None:
    hands, run_id = shipped
    people.approve(approval_id(hands, run_id, "undo"), by="ada")
    hands.work()

    run = hands.run_row(run_id)
    assert (run["status"], run["compensation"]) == ("failed", "done")
    [done, undone] = CALLS
    assert (undone["taken back"], undone["of"], undone["under"]) == ("4421", done["shipped"], f"{run_id}:3")


@pytest.mark.parametrize("says", ["rejected", "nothing"])
def test_what_it_did_stays_where_a_person_wants_that_or_says_nothing(
    shipped: tuple[Hands, str], people: Approvals, says: str
) -> None:
    hands, run_id = shipped
    if says == "rejected":
        people.reject(approval_id(hands, run_id, "undo"), by="ada", reason="the parcel is gone")
    else:
        let_expire(hands, run_id)
    hands.work()

    run = hands.run_row(run_id)
    assert (run["status"], run["compensation"], len(CALLS)) == ("failed", "kept", 1)
    assert hands.step_row(run_id, 2)["error"]["kind"] == ("rejected" if says == "rejected" else "expired")
