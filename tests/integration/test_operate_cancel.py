"""An operator cancels a run: what runs is recorded, what has not begun is skipped, what it did is undone if asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow import Agent, Pipeline, RunHandle, ToolError, tool
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers
from tests.integration.operated import DOUBT, acts, operations_of, refused

DONE: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    DONE.clear()


@tool(effect="unsafe")
def order(n: int) -> str:
    DONE.append(f"ordered {n}")
    return f"order {n}"


@order.compensate
def cancel_order(result: str) -> None:
    DONE.append(f"cancelled {result}")


@tool(effect="unsafe")
def charge(order: str) -> str:
    DONE.append(f"charged {order}")
    return "charged"


@tool(effect="unsafe")
def ship(n: int) -> str:
    DONE.append(f"shipped {n}")
    return "shipped"


@tool(effect="read")
def refuse(order: str) -> str:
    raise ToolError(f"{order} is sold out")


returning = Pipeline("returning", [order, refuse], on_failure="compensate")
buying = Pipeline("buying", [order, charge], on_failure="keep")
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[ship])


def cancel(hands: Hands, run_id: str, **said: Any) -> None:
    operations_of(hands).cancel(run_id, **{"by": "ada", **said})


def ordered(hands: Hands) -> str:
    """Begin a run that has ordered and is about to charge."""
    run_id = hands.begin(buying, {"n": 1})
    hands.do(run_id)
    return run_id


def test_what_has_not_begun_is_skipped_and_what_was_done_stays(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    cancel(hands, run_id, reason="a mistake")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.compensation, DONE) == ("cancelled", None, ["ordered 1"])
    assert [step.status for step in agentflow.client.steps(run_id)] == ["ok", "skipped"]
    assert [(act["act"], act["done_by"], act["reason"]) for act in acts(hands, run_id)] == [
        ("cancelled", "ada", "a mistake")
    ]


def test_what_was_done_is_undone_where_that_is_asked(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    cancel(hands, run_id, compensate=True)
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.compensation) == ("cancelled", "done")
    assert DONE == ["ordered 1", "cancelled order 1"]


def test_a_call_under_way_is_recorded_before_the_run_ends(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    claim = hands.claim(run_id, 1)

    cancel(hands, run_id)
    hands.advance(run_id)
    assert agentflow.client.get(run_id).status == "running"
    hands.record(claim)
    hands.work()

    assert agentflow.client.get(run_id).status == "cancelled"
    assert [step.status for step in agentflow.client.steps(run_id)] == ["ok", "ok"]


def test_a_run_that_has_not_begun_is_cancelled_without_a_step(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.submit(buying, {"n": 1}, not_before=datetime.now(UTC) + timedelta(days=1))

    cancel(hands, run_id)
    hands.work()

    assert agentflow.client.get(run_id).status == "cancelled"
    assert agentflow.client.steps(run_id) == []


def test_a_run_that_waits_for_its_conversation_is_cancelled_at_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted("one", "three"))
    first, second, third = (hands.submit(clerk, text, conversation="c1") for text in "abc")
    for run_id in (first, second):
        hands.advance(run_id)

    cancel(hands, second)
    hands.work()

    assert [agentflow.client.get(each).status for each in (first, second, third)] == ["done", "cancelled", "done"]


def test_a_paused_run_is_cancelled(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    operations_of(hands).pause(run_id, by="ada")
    assert agentflow.client.get(run_id).status == "paused"

    cancel(hands, run_id)
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.pause_requested) == ("cancelled", False)


def test_the_turn_of_its_conversation_is_passed_on(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted("two"))
    first, second = (hands.submit(clerk, text, conversation="c1") for text in "ab")
    hands.advance(first)

    cancel(hands, first)
    hands.work()

    assert [agentflow.client.get(each).status for each in (first, second)] == ["cancelled", "done"]


def test_twice_is_no_harm(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    cancel(hands, run_id)
    cancel(hands, run_id, by="bob")
    hands.work()

    assert agentflow.client.get(run_id).status == "cancelled"
    assert [act["done_by"] for act in acts(hands, run_id)] == ["ada"]


def test_a_cancellation_can_be_widened_while_something_is_still_open(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    claim = hands.claim(run_id, 1)
    cancel(hands, run_id)
    hands.advance(run_id)

    cancel(hands, run_id, compensate=True)
    hands.record(claim)
    hands.work()

    assert agentflow.client.get(run_id).compensation == "done"
    assert "cancelled order 1" in DONE


def test_a_cancellation_whose_commit_was_not_answered_is_written_down_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    answers = LostAnswers(agentflow.client.database)
    answers.lose_next(meanwhile=hands.work)

    cancel(hands, run_id)

    assert (answers.lost, len(acts(hands, run_id))) == (1, 1)
    assert agentflow.client.get(run_id).status == "cancelled"


def test_the_handle_of_a_run_cancels_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    RunHandle(agentflow.client, run_id).cancel(compensate=True, by="ada")
    hands.work()

    assert agentflow.client.get(run_id).compensation == "done"


def test_a_run_that_is_over_is_refused(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.begin(buying, {"n": 1})
    hands.work()

    with refused(hands, "it is done already; there is nothing to cancel"):
        cancel(hands, run_id)


def test_a_run_that_failed_and_is_being_undone_is_refused(agentflow: Harness) -> None:
    hands = Hands(agentflow, returning)
    run_id = hands.begin(returning, {"n": 1})
    hands.do(run_id)
    hands.do(run_id, 1)
    hands.advance(run_id)
    hands.record(hands.claim(run_id, 2), DOUBT)

    with refused(hands, r"it is ending already \(tool_failed\), and what it did is being undone"):
        cancel(hands, run_id)


def test_a_run_that_comes_to_a_ceiling_is_told_of(agentflow: Harness) -> None:
    many = scripted(calls(call("ship", n=1), call("ship", n=2)), "done")
    hands = Hands(agentflow, clerk, model=many)
    run_id = hands.begin(clerk, "hi", budget={"attempts": 2})
    hands.do(run_id)
    hands.record(hands.claim(run_id, 1), DOUBT)
    assert hands.refusal(run_id, 2) == ("budget", "attempts")

    with refused(hands, "it is being stopped already: budget_attempts"):
        cancel(hands, run_id)


def test_by_nobody_is_refused(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    with refused(hands, "names nobody"):
        cancel(hands, run_id, by=" ")
