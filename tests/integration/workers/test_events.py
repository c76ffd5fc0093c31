"""What Flower shows of a run whose steps a worker takes one after the other on one message."""

from __future__ import annotations

from collections.abc import Sequence

from celery.events.state import State, Task

from agentflow.client.handle import RunHandle
from tests.integration.workers.listening import Listener
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

WORKERS = (WorkerPlan("default", ("shop",)), WorkerPlan("models", ("shop",)))


def test_each_continued_step_is_a_task_of_its_own(stack: Stack, listener: Listener) -> None:
    handle = stack.client.submit("orders", {"order": "a1"})
    assert handle.wait(30).status == "done"

    tasks = until(lambda: _steps(listener, handle), "the end of every step", holds=lambda each: _ended(each, 4))

    assert [(task.name, task.state) for task in tasks] == [
        (f"step.{name}", "SUCCESS") for name in ("price", "charge", "enter", "announce")
    ]
    assert [task.kwargs for task in tasks] == [
        f"{{'run_id': '{handle.run_id}', 'step_index': {index}}}" for index in range(4)
    ]
    # One message for the first step, the others continued: each follows the one before, in the worker that has it.
    first, *others = tasks
    assert {task.worker.hostname for task in tasks} == {first.worker.hostname}
    assert [task.parent_id for task in others] == [task.uuid for task in tasks[:-1]]
    assert {task.root_id for task in tasks} == {first.root_id}
    assert all(task.received <= task.started <= task.succeeded for task in tasks)


def test_a_step_that_fails_is_a_task_that_failed(stack: Stack, listener: Listener) -> None:
    handle = stack.client.submit("refusals", {"order": "b1"})
    assert handle.wait(30).status == "failed"

    [task] = until(lambda: _steps(listener, handle), "the end of the step", holds=lambda each: _ended(each, 1))

    assert (task.name, task.state, task.exception) == ("step.refuse", "FAILURE", "StepFailed('tool_error')")


def _steps(listener: Listener, handle: RunHandle) -> Sequence[Task]:
    """Return the tasks of a run's steps as Flower knows them, in the order of the steps."""
    state = State()
    for event in listener.of_tasks():
        state.event(dict(event))
    steps = (task for task in state.tasks.values() if "step_index" in (task.kwargs or ""))
    return sorted((task for task in steps if handle.run_id in task.kwargs), key=lambda task: str(task.kwargs))


def _ended(tasks: Sequence[Task], count: int) -> bool:
    return len(tasks) == count and all(task.ready for task in tasks)
