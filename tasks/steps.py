"""The step tasks: one Celery task per tool, and one for model calls, all the same few lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from celery import Task
from celery.exceptions import Ignore, Retry

from agentflow.broker.messages import about_in
from agentflow.declare.agent import Agent
from agentflow.engine.executor import execute_step
from agentflow.engine.planning import MODEL_TASK
from agentflow.engine.runtime import RECORD_MARGIN_S
from agentflow.engine.undoing import APPROVAL_TASK
from agentflow.settings import settings

from .app import app
from .coordinator import advance
from .process import process
from .telling import StepFailed, Telling, Told, telling_of

# The pool's own limit is behind the dead man's timer: for a process whose timer was never armed.
_BEHIND_THE_TIMER_S = 5.0
_DECISION_S = 60.0


class StepTask(Task):
    """A step task. Its state in Celery tells what became of the step."""

    abstract = True
    Request = f"{__package__}.request:StepRequest"
    ignore_result = True
    throws = (StepFailed,)

    def run(self, run_id: str, step_index: int) -> None:
        """Take one step its whole way."""
        runtime = process.runtime
        with process.announcer.following(self.request):
            ending = execute_step(runtime, run_id, step_index, about_in(vars(self.request)))
        _tell(telling_of(ending))


def _tell(telling: Telling) -> None:
    """End the task as its step has ended."""
    match telling.told:
        case Told.SUCCEEDED:
            return
        case Told.IGNORED:
            raise Ignore(telling.reason)
        case Told.RETRIED:
            # The exception alone: task.retry() would publish a message, and the step is parked in Postgres.
            raise Retry(f"parked: {telling.reason}", exc=telling.exception)
        case Told.FAILED:
            raise StepFailed(telling.reason)


def limit_steps(queues: Collection[str]) -> None:
    """Limit the time of each step task of this worker: its step, and the steps that the worker may go on to after it.

    Each step has a limit of its own, the timer; a pool's knows nothing but messages.
    """
    timeouts = dict(_timeouts())
    served = max((timeout_s for queue, timeout_s in _served() if queue in queues), default=0.0)
    goes_on = settings().continue_steps > 1
    # A decision may hang in a user's code for ever; the time of a step that it goes on to comes on top.
    timeouts[advance.name] = _DECISION_S
    for name, own_s in timeouts.items():
        longest_s = settings().continue_s + max(own_s, served) if goes_on else own_s
        app.tasks[name].time_limit = longest_s + RECORD_MARGIN_S + _BEHIND_THE_TIMER_S


def _register() -> None:
    for name in sorted({APPROVAL_TASK, *dict(_timeouts())}):
        app.register_task(type("StepTask", (StepTask,), {"name": name, "__module__": __name__})())


def _timeouts() -> Iterator[tuple[str, float]]:
    """Yield the tasks of models, and of each tool: its calls, their verification, their compensation."""
    yield MODEL_TASK, max((agent.model_timeout_s for agent in _agents()), default=0.0)
    for tool in process.registry.tools.values():
        yield tool.task_name, tool.timeout_s
        if tool.verifier is not None:
            yield tool.verify_task, tool.timeout_s
        if tool.compensator is not None:
            yield tool.compensate_task, tool.compensator.timeout_s


def _served() -> Iterator[tuple[str, float]]:
    """Yield queues, and the timeouts of what comes in by them."""
    for tool in process.registry.tools.values():
        yield tool.queue, max(tool.timeout_s, tool.compensator.timeout_s if tool.compensator else 0.0)
    for agent in _agents():
        yield agent.model_queue, agent.model_timeout_s


def _agents() -> list[Agent]:
    return [each for each in process.registry.agents.values() if isinstance(each, Agent)]


_register()
