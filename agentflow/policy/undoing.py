"""How a run is undone: what it did that can be taken back, in which order, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agentflow.domain.decision import Compensate, Fail
from agentflow.domain.run import Compensation, Ending, OnFailure, Run, RunStatus
from agentflow.domain.step import APPROVAL, COMPENSATE, OWN_STEPS, Effect, Step, StepStatus


class LateOutput(Enum):
    """Stands for what a call gave of which a late record says only that it did happen."""

    UNKNOWN = "unknown"


UNKNOWN = LateOutput.UNKNOWN

# A compensation is skipped where another run owns the effect by now.
_SETTLED = {StepStatus.OK, StepStatus.SKIPPED}


@dataclass(frozen=True, slots=True)
class Effected:
    """A step whose effect took place, or may have; `result` is what it gave, where `is_known`."""

    step: Step
    result: Any
    is_known: bool


@dataclass(frozen=True, slots=True)
class UndoNext:
    """The next effect to undo."""

    effected: Effected


@dataclass(frozen=True, slots=True)
class AskFirst:
    """A person is asked whether what the run did shall be undone."""

    effects: Sequence[Effected]


@dataclass(frozen=True, slots=True)
class Undone:
    """Nothing more is undone; `message` says what stands in the way where something failed."""

    compensation: Compensation
    message: str = ""
    step_index: int | None = None


@dataclass(frozen=True, slots=True)
class NotYet:
    """A step is still open."""


Undoing = UndoNext | AskFirst | Undone | NotYet


def ending_of(run: Run, decision: Fail | Compensate, effects: Sequence[Effected]) -> Ending | None:
    """Return how a run that fails ends after its effects are undone; None where it ends at once."""
    if not effects:
        return None
    if isinstance(decision, Compensate):
        return Ending(RunStatus.FAILED, decision.reason, decision.message, decision.step_index)
    if run.on_failure == OnFailure.KEEP:
        return None
    asks = run.on_failure == OnFailure.ASK
    return Ending(RunStatus.FAILED, decision.reason, decision.message, decision.step_index, asks=asks)


def effects_of(history: Sequence[Step], compensators: Mapping[str, bool], late: Mapping[int, Any]) -> list[Effected]:
    """Return what a run did that can be undone and is not yet, the newest first.

    `compensators` names the tools that have one, each with whether it takes None for a result that nobody knows; `late`
    is what steps gave, by their index, whose records came too late, or UNKNOWN. Steps that were answered from elsewhere
    (another run's key, a cache, the run that this one was forked from) had no attempt: their effects belong to others.
    """
    undone = {step.subject_index for step in history if step.tool_name == COMPENSATE and step.status in _SETTLED}
    found = []
    for step in reversed(history):
        if step.tool_name in OWN_STEPS or step.tool_name not in compensators or step.step_index in undone:
            continue
        effected = _effected(step, late)
        if effected is not None:
            found.append(effected)
    return found


def _effected(step: Step, late: Mapping[int, Any]) -> Effected | None:
    if step.effect is Effect.READ or step.attempt == 0:
        return None
    if step.status is StepStatus.OK:
        return Effected(step, step.output, is_known=True)
    if step.step_index in late:
        gave = late[step.step_index]
        return Effected(step, None, is_known=False) if gave is UNKNOWN else Effected(step, gave, is_known=True)
    error = step.error or {}
    if error.get("happened", False) is False:
        return None
    return Effected(step, error.get("output"), is_known="output" in error)


def decide_undo(
    ending: Ending, history: Sequence[Step], effects: Sequence[Effected], takes_none: Mapping[str, bool]
) -> Undoing:
    """Answer what comes next in a run that is being undone."""
    if any(step.is_open for step in history):
        return NotYet()
    # By its index: a run that failed before, and was retried, has older answers.
    answers = [step for step in history if step.tool_name == APPROVAL and step.step_index == ending.asked_index]
    if ending.asks and not answers:
        return AskFirst(effects)
    if ending.asks and answers[0].status is not StepStatus.OK:
        return Undone(Compensation.KEPT)
    for step in history:
        if step.tool_name == COMPENSATE and step.status is StepStatus.ERROR:
            message = f"what {step.subject_tool!r} did (step {step.subject_index}) could not be undone"
            return Undone(Compensation.FAILED, message, step.step_index)
    if not effects:
        return Undone(Compensation.DONE)
    first = effects[0]
    if not first.is_known and not takes_none[first.step.tool_name]:
        message = (
            f"{first.step.tool_name!r} (step {first.step.step_index}) may have happened, and its compensation needs "
            "the result, which nobody knows"
        )
        return Undone(Compensation.FAILED, message, first.step.step_index)
    return UndoNext(first)
