"""What a person may say of a step in doubt: which one is meant, and whether its run can still follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from agentflow.domain.run import Run
from agentflow.domain.step import CLEARING, VERIFY, Step, StepStatus
from agentflow.domain.waiting import VERIFYING
from agentflow.policy.budget import attempts_left


class Resolution(StrEnum):
    """What a person says of a call in doubt: it took place, it is to be made again, it counts as failed."""

    HAPPENED = "happened"
    RETRY = "retry"
    FAIL = "fail"


def step_in_doubt(history: Sequence[Step]) -> int | str:
    """Return the index of the one step that a person has to resolve, or why there is no such one."""
    doubts = [step for step in history if step.status is StepStatus.IN_DOUBT]
    indexes = [step.step_index for step in doubts if step.waiting_reason != VERIFYING] or [
        step.step_index for step in doubts
    ]
    if not indexes:
        return "no step of it is in doubt"
    if len(indexes) > 1:
        return f"its steps {', '.join(map(str, indexes))} are in doubt; say which one"
    return indexes[0]


def refuse_resolution(
    run: Run, step: Step, resolution: Resolution, history: Sequence[Step], *, did_not_happen: bool = False
) -> str | None:
    """Return why a person may not resolve a step so, or None."""
    if did_not_happen and resolution is not Resolution.FAIL:
        return f"that it did not happen goes with 'fail', not with {resolution.value!r}"
    if is_amended(step, resolution, did_not_happen=did_not_happen):
        return None
    if step.status is not StepStatus.IN_DOUBT:
        return f"step {step.step_index} ({name_of(step)}) is {step.status}, not in doubt"
    if step.waiting_reason == VERIFYING:
        until = _verified_at(step, history)
        moment = "now" if until is None else f"until {until:%Y-%m-%d %H:%M:%S %Z} at least"
        return f"step {step.step_index} ({name_of(step)}) is being verified {moment}; wait for what that says"
    return _refuse_repeat(run, step) if resolution is Resolution.RETRY else None


def is_amended(step: Step, resolution: Resolution, *, did_not_happen: bool) -> bool:
    """Answer whether a person who failed a step without knowing more says now that it certainly did not happen."""
    error = step.error or {}
    was_failed = step.status is StepStatus.ERROR and error.get("kind") == RESOLVED and error.get("happened") is None
    return was_failed and resolution is Resolution.FAIL and did_not_happen


RESOLVED = "resolved"
"""The kind of error of a step that a person has failed."""


def name_of(step: Step) -> str:
    """Return what a step does, in words: its tool, or of which tool it verifies or undoes a call."""
    return step.tool_name if step.subject_tool is None else f"{step.tool_name} of {step.subject_tool}"


def _refuse_repeat(run: Run, step: Step) -> str | None:
    if step.tool_name in CLEARING:
        return None
    if run.stop_requested or run.ending is not None:
        why = run.stop_requested or (run.ending.reason if run.ending else "")
        return f"it is being stopped ({why}) and makes no call again; say 'happened' or 'fail'"
    if attempts_left(run) == 0:
        return f"its budget of {run.budget['attempts']} attempts is used up; say 'happened' or 'fail'"
    return None


def _verified_at(step: Step, history: Sequence[Step]) -> datetime | None:
    asked = [each for each in history if each.tool_name == VERIFY and each.subject_index == step.step_index]
    return next((each.next_attempt_at for each in asked if each.is_open), None)
