"""Deploys: workers that end in good order under load, and workers of two releases side by side."""

from __future__ import annotations

from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

OLD = WorkerPlan("default", ("veterans", "shop"))
NEW = WorkerPlan("default", ("veterans", "shop", "newcomers"))
WORKERS = (OLD, WorkerPlan("models", NEW.agents))


def test_a_worker_told_to_end_finishes_what_it_has_begun_and_leaves_the_rest(stack: Stack) -> None:
    other = stack.add_worker(OLD)
    other.ready()
    handles = stack.submit("parcels", ({"order": f"parcel-{number}"} for number in range(16)))
    until(lambda: len(stack.world.arrivals("pack")) == 12, "a step in every process of both workers")
    ending = stack.worker("default")

    ending.kill("SIGTERM", reload_container=False)
    until(lambda: _beats_while_draining(stack, ending.container.pid), "a heartbeat of the worker that ends")
    stack.world.open("packed")

    assert ending.container.wait() == 0
    assert stack.await_final(handles) == {"done": 16}
    assert [[step.attempt for step in stack.steps(handle)] for handle in handles] == [[1, 1]] * 16
    assert len(stack.world.arrivals("pack")) == len(stack.world.arrivals("announce")) == 16
    finished_by = {each["worker"] for each in stack.world.arrivals("announce")}
    assert finished_by == {other.container.pid}, "the one that ends begins nothing new"
    other.container.stop()
    stack.nodes.remove(other)


def test_a_step_that_no_worker_knows_is_parked_and_told_of_until_one_comes_that_does(stack: Stack) -> None:
    # A run of a conversation is started by the coordinator's pool, which is of the newer release.
    handle = stack.client.submit("scans", {"paper": "p1"}, conversation="papers")

    step = stack.await_step(handle, "pending")
    until(lambda: stack.steps(handle)[-1].waiting_reason == "unserved", "a parked step")
    assert step.attempt == 0
    assert handle.get().status == "waiting_tool"
    assert "does not know the task 'step.scan'" in _alert(stack, "unserved:step.scan")

    stack.add_worker(NEW).ready()
    stack.worker("default").container.stop()

    run = handle.wait(30)
    assert (run.status, run.result, run.error) == ("done", "scanned p1", None)
    assert len(stack.world.arrivals("scan")) == 1


def _beats_while_draining(stack: Stack, pid: int) -> bool:
    rows = stack.truth.rows("select draining from agentflow.workers where pid = :pid", pid=pid)
    return bool(rows[0]["draining"])


def _alert(stack: Stack, cause: str) -> str:
    told = until(lambda: [each["message"] for each in stack.client.alerts() if each["cause"] == cause], cause)
    return str(told[0])
