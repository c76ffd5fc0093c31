"""Processes that die or freeze in the middle of a step: it runs again where that does no harm, and happens once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agentflow.client.handle import RunHandle
from tests.integration.workers.agents.deaths import FIRST_TRY, SETTLE_S
from tests.integration.workers.nodes import lives
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

WORKERS = (
    WorkerPlan("default", ("deaths",), concurrency=8),
    WorkerPlan("models", ("deaths",)),
    WorkerPlan("quarantine", ("deaths",)),
)
PROMISED_S = 15.0
RECORD_MARGIN_S = 10.0
CAUGHT = ("look", "pay", "book", "switch", "mail", "wire", "order")


@dataclass(frozen=True, slots=True)
class Killing:
    """A worker's main process that was killed in the middle of one step of each class."""

    stack: Stack
    at: float
    children: list[int]
    handles: dict[str, RunHandle]


@pytest.fixture(scope="module")
def killing(running_stack: Stack) -> Killing:
    handles = {name: running_stack.client.submit(name, {}) for name in CAUGHT}
    for name, handle in handles.items():
        running_stack.world.await_arrival(name, handle.run_id)
    worker = running_stack.worker("default")
    children = worker.children()
    worker.kill()
    return Killing(running_stack, time.time(), children, handles)


@pytest.fixture
def latch(stack: Stack) -> Iterator[None]:
    """Close the latch at which first tries are held, whatever the test before did with it."""
    stack.world.close(FIRST_TRY)
    yield
    stack.world.open(FIRST_TRY)


def test_the_children_of_a_killed_worker_die_with_it(killing: Killing) -> None:
    assert len(killing.children) == 8
    until(lambda: not any(map(lives, killing.children)), "the end of the children", timeout_s=5)


@pytest.mark.parametrize("effect", ["look", "pay", "book"], ids=["read", "keyed", "transactional"])
def test_a_step_whose_worker_was_killed_is_done_within_15_seconds_despite_its_timeout_of_60(
    killing: Killing, effect: str
) -> None:
    run = killing.handles[effect].wait(3 * PROMISED_S)

    assert run.finished_at is not None
    took_s = run.finished_at.timestamp() - killing.at
    print(f"{effect}: done {took_s:.1f} s after its worker was killed")
    assert (run.status, run.result) == ("done", f"{effect} in attempt 2")
    assert took_s <= PROMISED_S


def test_a_keyed_effect_repeated_after_a_kill_goes_out_under_the_same_key(killing: Killing) -> None:
    killing.handles["pay"].wait(3 * PROMISED_S)

    calls = killing.stack.world.arrivals("pay")

    assert [each["attempt"] for each in calls] == [1, 2]
    assert len({each["key"] for each in calls}) == 1


def test_a_transactional_effect_is_committed_once_though_it_was_tried_twice(killing: Killing) -> None:
    killing.handles["book"].wait(3 * PROMISED_S)

    assert len(killing.stack.world.arrivals("book")) == 2
    assert killing.stack.truth.entries(killing.handles["book"]) == 1


def test_an_idempotent_step_of_a_killed_worker_runs_again_only_once_its_lease_is_over(killing: Killing) -> None:
    run = killing.handles["switch"].wait(40)

    (step,) = killing.stack.steps(killing.handles["switch"])
    first, second = (each["started_at"] for each in step.tries)
    assert (run.status, run.result) == ("done", "switch in attempt 2")
    assert (second - first).total_seconds() >= 4 + RECORD_MARGIN_S


def test_an_unsafe_step_of_a_killed_worker_is_in_doubt_only_once_its_lease_is_over(killing: Killing) -> None:
    step = killing.stack.await_step(killing.handles["mail"], "in_doubt", timeout_s=40)

    (attempt,) = step.tries
    assert (attempt["ended_at"] - attempt["started_at"]).total_seconds() >= 4 + RECORD_MARGIN_S
    assert killing.handles["mail"].get().status == "waiting_human"
    assert len(killing.stack.world.arrivals("mail")) == 1


def test_a_verified_step_whose_worker_was_killed_after_the_effect_is_verified_and_not_repeated(
    killing: Killing, stack: Stack
) -> None:
    run = killing.handles["wire"].wait(60)

    wired, verification = stack.steps(killing.handles["wire"])
    assert (run.status, run.result, wired.attempt) == ("done", "found in the world", 1)
    assert (verification.tool_name, verification.status) == ("verify", "ok")
    (asked,) = stack.world.arrivals("wire.asked", run.run_id)
    (wire,) = stack.world.arrivals("wire", run.run_id)
    assert asked["key"] == wire["key"]
    (lost,) = wired.tries
    assert asked["at"] - lost["started_at"].timestamp() >= 4 + RECORD_MARGIN_S + SETTLE_S


def test_a_verified_step_whose_worker_was_killed_before_the_effect_is_verified_and_runs_again(
    killing: Killing, stack: Stack
) -> None:
    run = killing.handles["order"].wait(60)

    assert (run.status, run.result) == ("done", "order in attempt 2")
    assert len(stack.world.arrivals("ordered", run.run_id)) == 1
    assert len({each["key"] for each in stack.world.arrivals("order", run.run_id)}) == 1


@pytest.mark.usefixtures("latch")
def test_a_killed_child_is_reported_by_its_parent_and_nobody_else_is_harmed(stack: Stack) -> None:
    caught, innocent = (stack.client.submit(name, {}) for name in ("switch", "mail"))
    child = stack.world.await_arrival("switch", caught.run_id)["pid"]
    stack.world.await_arrival("mail", innocent.run_id)

    os.kill(child, signal.SIGKILL)
    killed_at = time.time()
    run = caught.wait(PROMISED_S)

    assert run.result == "switch in attempt 2"
    assert run.finished_at is not None
    print(f"switch: done {run.finished_at.timestamp() - killed_at:.1f} s after its child was killed")
    assert run.finished_at.timestamp() - killed_at < RECORD_MARGIN_S, "that long it would have taken without the report"
    stack.world.open(FIRST_TRY)
    assert innocent.wait(20).result == "mail in attempt 1"
    assert len(stack.world.arrivals("mail", innocent.run_id)) == 1


def test_a_tool_that_kills_its_process_every_time_is_poison_after_3_deaths_alone(stack: Stack) -> None:
    poison = stack.client.submit("die", {})
    innocents = stack.submit("greet", ({"name": f"guest {number}"} for number in range(20)))

    run = poison.wait(60)

    (step,) = stack.steps(poison)
    assert (run.status, step.status, step.error["kind"]) == ("failed", "error", "poison")
    workers = [each["worker"] for each in stack.world.arrivals("die")]
    assert workers == [stack.worker("default").container.pid, *[stack.worker("quarantine").container.pid] * 3]
    assert stack.await_final(innocents) == {"done": 20}
    assert [len(stack.world.arrivals("greet", each.run_id)) for each in innocents] == [1] * 20
    assert any(alert["cause"].startswith("poison:") for alert in stack.client.alerts())


@pytest.mark.slow
@pytest.mark.usefixtures("latch")
def test_a_frozen_child_is_killed_by_its_timer_before_its_lease_is_over(stack: Stack) -> None:
    handle = stack.client.submit("freeze", {})
    child = stack.world.await_arrival("freeze", handle.run_id)["pid"]

    os.kill(child, signal.SIGSTOP)
    until(lambda: not lives(child), "the end of the frozen child", timeout_s=RECORD_MARGIN_S + 5)
    stack.world.open(FIRST_TRY)

    assert handle.wait(PROMISED_S).result == "freeze in attempt 2"
    assert [each["attempt"] for each in stack.world.arrivals("freeze", handle.run_id)] == [1, 2]
    (step,) = stack.steps(handle)
    assert [each["status"] for each in step.tries] == ["retried", "ok"]


@pytest.mark.slow
@pytest.mark.usefixtures("latch")
def test_a_worker_frozen_past_its_leases_does_nothing_late_when_it_thaws(stack: Stack) -> None:
    worker = stack.worker("default")
    names = ("pay", "freeze")
    handles = {name: stack.client.submit(name, {}) for name in names}
    frozen = {name: stack.world.await_arrival(name, handles[name].run_id)["pid"] for name in names}

    worker.send(signal.SIGSTOP)
    taken_over = {name: handle.wait(40).result for name, handle in handles.items()}
    stack.world.open(FIRST_TRY)
    worker.send(signal.SIGCONT)

    assert taken_over == {name: f"{name} in attempt 2" for name in names}
    until(lambda: not lives(frozen["freeze"]), "the end of the child whose lease is over")
    until(lambda: _late_results(stack, handles["pay"]) == [{"output": "pay in attempt 1"}], "the late result, kept")
    assert [step.attempt for handle in handles.values() for step in stack.steps(handle)] == [2, 2]
    assert {name: handle.get().result for name, handle in handles.items()} == taken_over


def _late_results(stack: Stack, handle: RunHandle) -> list[object]:
    rows = stack.truth.rows(
        "select late_result from agentflow.attempts where run_id = :id and late_result is not null", id=handle.run_id
    )
    return [row["late_result"] for row in rows]
