"""Runs end to end over real pools, and what Celery's events tell of them: the truth, and nothing but ids."""

from __future__ import annotations

import pytest
from pytest_celery import CeleryTestSetup  # type: ignore[import-untyped]

from agentflow.domain.hint import Hint
from tests.integration.workers.listening import Listener
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

WORKERS = (WorkerPlan("default", ("shop",)), WorkerPlan("models", ("shop",)))
CANARY = "canary-4711"


def test_a_pipeline_takes_an_order_through_four_classes_of_effect(stack: Stack) -> None:
    handle = stack.client.submit("orders", {"order": "a1"})

    run = handle.wait(30)

    assert (run.status, run.result) == ("done", "announced a1")
    assert [step.attempt for step in stack.steps(handle)] == [1, 1, 1, 1]
    assert [each["tool"] for each in stack.world.arrivals(run_id=handle.run_id)] == ["price", "charge", "announce"]
    assert stack.truth.entries(handle) == 1


def test_an_agent_acts_as_its_model_says_over_two_pools(stack: Stack) -> None:
    handle = stack.client.submit("clerk", "order b2", user="ann")

    run = handle.wait(40)

    assert (run.status, run.result) == ("done", "b2 is on its way")
    assert [step.tool_name for step in stack.steps(handle)] == ["model", "price", "model", "charge", "model"]
    assert run.tokens > 0
    assert _workers_of(stack, handle.run_id) == {"model": "models", "price": "default", "charge": "default"}


def test_pytest_celery_sees_the_workers_and_their_queues(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready(control=True)
    queues = celery_setup.app.control.inspect(timeout=10, limit=2).active_queues()

    served = sorted(sorted(queue["name"] for queue in each) for each in queues.values())

    tools = ["announce", "charge", "enter", "pack", "price", "refuse", "reserve"]
    relays = ["outbox.email", "outbox.webhook"]
    assert served == [["coordinator", "model"], [*relays, *(f"tool.{name}" for name in tools)]]


def test_each_tool_is_a_task_of_its_own_name_in_its_own_queue(stack: Stack, listener: Listener) -> None:
    handle = stack.client.submit("orders", {"order": "c3"})
    handle.wait(30)
    listener.await_ending(handle.run_id, "step.announce", "task-succeeded")

    names = {name for name, _ in listener.by_task(handle.run_id)}

    assert sorted(names) == ["coordinator.advance", "step.announce", "step.charge", "step.enter", "step.price"]
    assert [step.queue for step in stack.steps(handle)] == ["tool.price", "tool.charge", "tool.enter", "tool.announce"]


def test_a_step_that_is_ok_is_a_task_that_succeeded_and_returned_nothing(stack: Stack, listener: Listener) -> None:
    handle = stack.client.submit("orders", {"order": CANARY})

    ended = listener.await_ending(handle.run_id, "step.charge", "task-succeeded")

    assert ended["result"] == "None"


def test_a_tool_that_fails_is_a_task_that_failed_with_the_kind_alone(stack: Stack, listener: Listener) -> None:
    handle = stack.client.submit("refusals", {"order": CANARY})

    ended = listener.await_ending(handle.run_id, "step.refuse", "task-failed")

    assert ended["exception"] == "StepFailed('tool_error')"
    run = handle.wait(20)
    assert (run.status, run.error["message"]) == ("failed", f"refuse: there is no order '{CANARY}'")


def test_a_step_that_is_parked_is_a_task_that_is_retried(stack: Stack, listener: Listener) -> None:
    first = stack.client.submit("seats", {"seat": "12A"})
    stack.world.await_arrival("reserve", first.run_id)
    # Started by the coordinator's pool, so that its step comes by a message.
    second = stack.client.submit("seats", {"seat": "12A"}, conversation="seats")

    ended = listener.await_ending(second.run_id, "step.reserve", "task-retried")

    assert "key_in_flight" in ended["exception"]
    assert stack.client.get(second.run_id).status == "waiting_tool"
    stack.world.open("reserve-12A")
    assert stack.await_final([first, second]) == {"done": 2}
    assert len(stack.world.arrivals("reserve")) == 1


def test_a_hint_that_comes_twice_is_a_task_that_is_ignored(stack: Stack, listener: Listener) -> None:
    handle = stack.client.submit("orders", {"order": "d4"})
    handle.wait(30)
    assert stack.hints.publish([Hint("step.announce", "tool.announce", handle.run_id, 3)])

    listener.await_ending(handle.run_id, "step.announce", "task-ignored")

    assert len(stack.world.arrivals("announce", handle.run_id)) == 1


@pytest.mark.parametrize("agent", ["orders", "refusals"])
def test_no_event_holds_more_than_ids(stack: Stack, listener: Listener, agent: str) -> None:
    handle = stack.client.submit(agent, {"order": CANARY}, user=f"user of {CANARY}")
    handle.wait(30)
    until(lambda: all(_has_ended(each) for each in listener.by_task(handle.run_id).values()), "the end of every task")

    events = [event for task in listener.by_task(handle.run_id).values() for event in task]

    assert CANARY not in repr(events)
    for event in events:
        if event["type"] == "task-received":
            assert event["args"] == "()"
            assert event["kwargs"].replace(handle.run_id, "ID").rstrip("0123456789}") in _ONLY_IDS


def test_no_log_of_a_worker_holds_what_the_customer_said(stack: Stack) -> None:
    handles = [stack.client.submit(agent, {"order": CANARY}) for agent in ("orders", "refusals")]

    assert stack.await_final(handles) == {"done": 1, "failed": 1}

    said = [line for node in stack.nodes for line in node.logs().splitlines() if CANARY in line]
    assert said == []


_ONLY_IDS = {"{'run_id': 'ID'", "{'run_id': 'ID', 'step_index': "}
_ENDINGS = {"task-succeeded", "task-failed", "task-retried", "task-ignored"}


def _has_ended(events: list[dict[str, object]]) -> bool:
    return any(event["type"] in _ENDINGS for event in events)


def _workers_of(stack: Stack, run_id: str) -> dict[str, str]:
    rows = stack.truth.rows(
        "select s.tool_name, w.pool from agentflow.agent_steps s join agentflow.workers w using (worker_id) "
        "where s.run_id = :id",
        id=run_id,
    )
    return {row["tool_name"]: row["pool"] for row in rows}
