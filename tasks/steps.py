"""The step tasks: one Celery task per tool, and one for model calls, all the same few lines."""

from __future__ import annotations

from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore, Retry

from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.outcome import Completed, Failed, InDoubt
from agentflow.engine.executor import Ending, Fenced, execute_step
from agentflow.engine.planning import MODEL_TASK

from .app import app
from .process import process

_DUPLICATES = {ClaimAnswer.DUPLICATE, ClaimAnswer.RUN_STOPPED}
_PARKED = {ClaimAnswer.NOT_DUE, ClaimAnswer.KEY_IN_FLIGHT, ClaimAnswer.UNSERVED}


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
        case Completed() | Refused(answer=ClaimAnswer.KEY_DONE):
            return
        case Failed(kind=kind):
            raise StepFailed(kind)
        case InDoubt():
            raise StepFailed("in_doubt")
        case Fenced():
            raise StepFailed("lease_lost")
        case Refused(answer=answer) if answer in _DUPLICATES:
            raise Ignore(str(answer))
        case Refused(answer=answer) if answer in _PARKED:
            _retry(answer)
        case Refused(answer=answer):
            raise StepFailed(str(answer))


def _retry(answer: ClaimAnswer) -> NoReturn:
    # The exception alone: task.retry() would publish a message, and the step is parked in Postgres.
    raise Retry(f"parked: {answer}", exc=Parked(str(answer)))


def _register() -> None:
    names = {MODEL_TASK, *(tool.task_name for tool in process.registry.tools.values())}
    for name in sorted(names):
        attributes: dict[str, Any] = {"name": name, "__module__": __name__}
        app.register_task(type("StepTask", (StepTask,), attributes)())


_register()
