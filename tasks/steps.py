"""The step tasks: one Celery task per tool, and one for model calls, all the same few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore, Retry

from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.outcome import Completed, Failed, Fenced, InDoubt, Retrying
from agentflow.engine.executor import Ending, execute_step
from agentflow.engine.planning import MODEL_TASK
from agentflow.engine.runtime import RECORD_MARGIN_S
from agentflow.engine.undoing import APPROVAL_TASK

from .app import app
from .process import process

_DUPLICATES = {ClaimAnswer.DUPLICATE, ClaimAnswer.RUN_STOPPED, ClaimAnswer.UNAPPROVED}
_PARKED = {
    ClaimAnswer.NOT_DUE,
    ClaimAnswer.KEY_IN_FLIGHT,
    ClaimAnswer.UNSERVED,
    ClaimAnswer.BUDGET_RESERVED,
}
_KNOWN = {ClaimAnswer.KEY_DONE, ClaimAnswer.CACHED}
# The pool's own limit is behind the dead man's timer: for a process whose timer was never armed.
_BEHIND_THE_TIMER_S = 5.0


class StepFailed(Exception):
    """The step failed; the kind of the failure is all that is said here, since Flower shows it to everyone."""


class Parked(Exception):
    """The step waits in Postgres; the reason is machine-readable."""


class StepTask(Task):
    """A step task. Its state in Celery tells what became of the step."""

    abstract = True
    Request = f"{__package__}.request:StepRequest"
    ignore_result = True
    throws = (StepFailed,)

    def run(self, run_id: str, step_index: int) -> None:
        """Take one step its whole way."""
        _tell(execute_step(process.runtime, run_id, step_index))


def _tell(ending: Ending) -> None:
    match ending:
        case Completed():
            return
        case Retrying(reason=reason):
            _retry(reason)
        case Failed(kind=kind):
            raise StepFailed(kind)
        case InDoubt():
            raise StepFailed("in_doubt")
        case Fenced():
            raise StepFailed("lease_lost")
        case Refused():
            _tell_refusal(ending)


def _tell_refusal(refused: Refused) -> None:
    answer = refused.answer
    if answer in _DUPLICATES:
        raise Ignore(str(answer))
    if answer is ClaimAnswer.DENIED:
        _retry(refused.detail)
    if answer in _PARKED:
        _retry(answer)
    if answer not in _KNOWN:
        raise StepFailed(str(answer))


def _retry(reason: str) -> NoReturn:
    # The exception alone: task.retry() would publish a message, and the step is parked in Postgres.
    raise Retry(f"parked: {reason}", exc=Parked(str(reason)))


def _register() -> None:
    limits = dict(_limits())
    for name in sorted({MODEL_TASK, APPROVAL_TASK, *limits}):
        attributes: dict[str, Any] = {"name": name, "__module__": __name__}
        if name in limits:
            attributes["time_limit"] = limits[name] + RECORD_MARGIN_S + _BEHIND_THE_TIMER_S
        app.register_task(type("StepTask", (StepTask,), attributes)())


def _limits() -> Iterator[tuple[str, float]]:
    """Yield the tasks of each tool: its calls, their verification, their compensation."""
    for tool in process.registry.tools.values():
        yield tool.task_name, tool.timeout_s
        if tool.verifier is not None:
            yield tool.verify_task, tool.timeout_s
        if tool.compensator is not None:
            yield tool.compensate_task, tool.compensator.timeout_s


_register()
