"""What Celery is told of a step's ending: the state that its task shows in Flower."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.outcome import Completed, Failed, Fenced, InDoubt, Retrying
from agentflow.engine.executor import Ending

_DUPLICATES = {ClaimAnswer.DUPLICATE, ClaimAnswer.RUN_STOPPED, ClaimAnswer.UNAPPROVED}
_PARKED = {
    ClaimAnswer.NOT_DUE,
    ClaimAnswer.KEY_IN_FLIGHT,
    ClaimAnswer.UNSERVED,
    ClaimAnswer.BUDGET_RESERVED,
}
_KNOWN = {ClaimAnswer.KEY_DONE, ClaimAnswer.CACHED}


class StepFailed(Exception):
    """The step failed; the kind of the failure is all that is said here, since Flower shows it to everyone."""


class Parked(Exception):
    """The step waits in Postgres; the reason is machine-readable."""


class Told(StrEnum):
    """How a task ended, as the event that says so."""

    SUCCEEDED = "task-succeeded"
    RETRIED = "task-retried"
    FAILED = "task-failed"
    IGNORED = "task-ignored"


@dataclass(frozen=True, slots=True)
class Telling:
    """How a step's task ended, and why."""

    told: Told
    reason: str = ""

    @property
    def exception(self) -> Exception | None:
        """What a task that ended so raises, apart from Celery's own exceptions around it."""
        if self.told is Told.FAILED:
            return StepFailed(self.reason)
        return Parked(self.reason) if self.told is Told.RETRIED else None


def telling_of(ending: Ending) -> Telling:
    """Return what is told of an ending."""
    match ending:
        case Completed():
            return Telling(Told.SUCCEEDED)
        case Retrying(reason=reason):
            return Telling(Told.RETRIED, str(reason))
        case Failed(kind=kind):
            return Telling(Told.FAILED, str(kind))
        case InDoubt():
            return Telling(Told.FAILED, "in_doubt")
        case Fenced():
            return Telling(Told.FAILED, "lease_lost")
        case Refused():
            return _of_refusal(ending)
    assert_never(ending)


def _of_refusal(refused: Refused) -> Telling:
    answer = refused.answer
    if answer in _DUPLICATES:
        return Telling(Told.IGNORED, str(answer))
    if answer is ClaimAnswer.DENIED:
        return Telling(Told.RETRIED, str(refused.detail))
    if answer in _PARKED:
        return Telling(Told.RETRIED, str(answer))
    return Telling(Told.SUCCEEDED) if answer in _KNOWN else Telling(Told.FAILED, str(answer))
