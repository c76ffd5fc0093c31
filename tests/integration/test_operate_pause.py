"""An operator pauses a run, and lets it go on: what runs is recorded, nothing more begins, its time stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow import Agent, Pipeline, tool
from agentflow.store import sweeps
from agentflow.testing import Harness, scripted
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers
from tests.integration.operated import DOUBT, acts, operations_of, refused


@tool(effect="unsafe")
def order(n: int) -> str:
    return f"order {n}"


@tool(effect="read")
def report(order: str) -> str:
    return f"reported {order}"


buying = Pipeline("buying", [order, report], on_failure="keep")
clerk = Agent("clerk", model="openai:gpt-4o-mini")


def pause(hands: Hands, run_id: str, **said: Any) -> None:
    operations_of(hands).pause(run_id, **{"by": "ada", **said})


def resume(hands: Hands, run_id: str, **said: Any) -> None:
    operations_of(hands).resume(run_id, **{"by": "ada", **said})


def ordered(hands: Hands) -> str:
    """Begin a run that has ordered and is about to report."""
    run_id = hands.begin(buying, {"n": 1})
    hands.do(run_id)
    return run_id


def test_nothing_begins_in_a_paused_run_until_it_is_resumed(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    pause(hands, run_id, reason="look at it first")
    hands.work()
    assert agentflow.client.get(run_id).status == "paused"
    assert agentflow.client.steps(run_id)[1].attempt == 0
    resume(hands, run_id)
    hands.work()

    assert agentflow.client.get(run_id).result == "reported order 1"
    assert [(act["act"], act["reason"]) for act in acts(hands, run_id)] == [
        ("paused", "look at it first"),
        ("resumed", None),
    ]


def test_a_call_under_way_is_recorded_and_the_run_is_paused_after_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.begin(buying, {"n": 1})
    claim = hands.claim(run_id)

    pause(hands, run_id)
    assert agentflow.client.get(run_id).status == "running"
    hands.record(claim)

    assert agentflow.client.get(run_id).status == "paused"
    assert hands.step_row(run_id)["status"] == "ok"


def test_a_call_under_way_whose_next_step_is_planned_already_does_not_begin_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.begin(buying, {"n": 1})
    hands.runtime.reached = lambda point, *_: pause(hands, run_id) if point == "after_call" else None

    hands.do(run_id)
    hands.work()

    assert agentflow.client.get(run_id).status == "paused"
    assert [step.status for step in agentflow.client.steps(run_id)] == ["ok"]


def test_a_steps_message_that_arrives_in_a_paused_run_parks_it_and_resuming_makes_it_due(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    pause(hands, run_id)

    assert hands.refusal(run_id, 1) == ("run_stopped", "paused")
    assert hands.step_row(run_id, 1)["waiting_reason"] == "run_paused"
    resume(hands, run_id)

    row = hands.step_row(run_id, 1)
    assert (row["waiting_reason"], row["next_attempt_at"]) == (None, None)
    assert agentflow.client.get(run_id).status == "running"


def test_the_deadline_stands_still_while_a_run_is_paused(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    pause(hands, run_id)
    paused = hands.run_row(run_id)
    resume(hands, run_id)

    left_s = paused["time_left_s"]
    assert (paused["deadline_at"], left_s is not None and 0 < left_s <= 900) == (None, True)
    row = hands.run_row(run_id)
    assert row["time_left_s"] is None
    assert abs((row["deadline_at"] - datetime.now(UTC)).total_seconds() - left_s) < 5


def test_a_run_whose_time_is_over_before_its_last_call_ends_is_not_paused_but_over(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.begin(buying, {"n": 1})
    claim = hands.claim(run_id)
    pause(hands, run_id)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp()")
    agentflow.database.atomically(lambda tx: sweeps.stop_overdue(tx, most=10))

    hands.record(claim)
    hands.drop_hints()
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"]) == ("failed", "deadline")


def test_a_run_that_has_not_begun_waits_paused_and_then_begins(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.submit(buying, {"n": 1})

    pause(hands, run_id)
    hands.work()
    assert (agentflow.client.get(run_id).status, agentflow.client.steps(run_id)) == ("paused", [])
    resume(hands, run_id)
    assert agentflow.client.get(run_id).status == "pending"
    hands.work()

    assert agentflow.client.get(run_id).status == "done"


def test_a_resumed_run_keeps_its_earliest_time(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.submit(buying, {"n": 1}, not_before=datetime.now(UTC) + timedelta(days=1))

    pause(hands, run_id)
    resume(hands, run_id)
    hands.work()

    assert agentflow.client.get(run_id).status == "pending"
    assert hands.value("select advance_due_at = not_before from agentflow.agent_runs") is True


def test_a_paused_run_holds_its_conversations_turn(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted("one", "two"))
    first, second = (hands.submit(clerk, text, conversation="c1") for text in "ab")
    hands.advance(first)

    pause(hands, first)
    hands.work()
    assert [agentflow.client.get(each).status for each in (first, second)] == ["paused", "pending"]
    resume(hands, first)
    hands.work()

    assert [agentflow.client.get(each).status for each in (first, second)] == ["done", "done"]


def test_a_run_paused_in_line_waits_for_its_turn_when_it_is_resumed(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted("one", "two"))
    first, second = (hands.submit(clerk, text, conversation="c1") for text in "ab")
    hands.advance(first)
    pause(hands, second)

    resume(hands, second)
    hands.advance(second)

    row = hands.run_row(second)
    assert (row["status"], row["waiting_reason"]) == ("pending", "conversation_turn")
    hands.work()
    assert agentflow.client.get(second).result == "two"


def test_a_doubt_in_a_paused_run_asks_for_a_person_first(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.begin(buying, {"n": 1})
    claim = hands.claim(run_id)
    pause(hands, run_id)

    hands.record(claim, DOUBT)
    assert agentflow.client.get(run_id).status == "waiting_human"
    operations_of(hands).resolve(run_id, "happened", answer="order 1", by="ada")
    hands.work()

    assert agentflow.client.get(run_id).status == "paused"


def test_pausing_twice_is_no_harm(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)

    pause(hands, run_id)
    pause(hands, run_id, by="bob")

    assert [act["done_by"] for act in acts(hands, run_id)] == ["ada"]


@pytest.mark.parametrize("verb", [pause, resume], ids=["pause", "resume"])
def test_an_order_whose_commit_was_not_answered_is_written_down_once(agentflow: Harness, verb: Any) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    if verb is resume:
        pause(hands, run_id)
    answers = LostAnswers(agentflow.client.database)
    answers.lose_next()

    verb(hands, run_id)

    assert answers.lost == 1
    assert [act["act"] for act in acts(hands, run_id)].count("paused" if verb is pause else "resumed") == 1


def test_a_run_that_is_over_is_not_paused(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    hands.work()

    with refused(hands, "it is done already; there is nothing to pause"):
        pause(hands, run_id)


def test_a_run_that_is_being_stopped_is_not_paused(agentflow: Harness) -> None:
    hands = Hands(agentflow, buying)
    run_id = hands.begin(buying, {"n": 1})
    hands.claim(run_id)
    operations_of(hands).cancel(run_id, by="ada")

    with refused(hands, "it is being stopped: cancel"):
        pause(hands, run_id)


@pytest.mark.parametrize("is_over", [False, True], ids=["running", "over"])
def test_a_run_that_is_not_paused_is_not_resumed(agentflow: Harness, is_over: bool) -> None:
    hands = Hands(agentflow, buying)
    run_id = ordered(hands)
    if is_over:
        hands.work()

    with refused(hands, "not paused"):
        resume(hands, run_id)
