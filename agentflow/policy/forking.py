"""Whether a run may be begun anew from one of its steps, and with which notes the copy begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain.quoting import quoted
from agentflow.domain.run import Run
from agentflow.domain.step import APPROVAL, COMPENSATE, OWN_STEPS, Effect, Step, StepStatus
from agentflow.policy.resolution import name_of
from agentflow.policy.scratchpad import merged

_ENDING = frozenset({APPROVAL, COMPENSATE})
_HAPPENING = frozenset({StepStatus.OK, StepStatus.RUNNING, StepStatus.IN_DOUBT})


def refuse_place(history: Sequence[Step], from_step: int) -> str | None:
    """Return why nothing can be forked from there, or None: the steps before it are copied as they ended."""
    latest = next((step.step_index for step in history if step.tool_name in _ENDING), len(history))
    if not 0 <= from_step <= latest:
        return f"step {quoted(from_step)} is not a step to fork from; give one from 0 to {latest}"
    still_open = [step for step in history[:from_step] if step.is_open]
    if still_open:
        first = still_open[0]
        return f"step {first.step_index} ({name_of(first)}) is {first.status} and cannot be copied before it has ended"
    return None


def refuse_effects(history: Sequence[Step], from_step: int) -> str | None:
    """Return which effect stands in the way of a fork, or None.

    What comes after may be done once more by the copy; what is copied must still be so in the world.
    """
    undone = {step.subject_index for step in history if step.tool_name == COMPENSATE and step.status is StepStatus.OK}
    touched = {step.subject_index for step in history if step.tool_name == COMPENSATE and step.status in _HAPPENING}
    for step in history[:from_step]:
        if step.step_index in touched:
            return f"step {step.step_index} ({name_of(step)}) would be copied, and has been undone since"
    for step in history[from_step:]:
        if step.step_index not in undone and not _has_business_key(step) and _may_have_happened(step):
            return (
                f"step {step.step_index} ({name_of(step)}, {step.effect}) is {step.status}, neither undone nor under "
                "a business key: the copy could do it once more"
            )
    return None


def rebuilt_notes(copied: Sequence[Step]) -> Mapping[str, Any]:
    """Return the scratchpad as the copied steps left it."""
    notes: Mapping[str, Any] = {}
    for step in copied:
        notes = merged(notes, step.noted or {})
    return notes


def overrides_of(run: Run, model: str | None, instructions: str | None) -> Mapping[str, Any]:
    """Return what a copy has of its own instead of its agent's; the rest is as in the run it is copied from."""
    said = {"model": model, "instructions": instructions}
    return {**run.overrides, **{name: value for name, value in said.items() if value is not None}}


def _may_have_happened(step: Step) -> bool:
    if step.effect is Effect.READ or step.tool_name in OWN_STEPS:
        return False
    return step.status in _HAPPENING or (step.error or {}).get("happened", False) is not False


def _has_business_key(step: Step) -> bool:
    # A key of the step's own is made of its run and its index: the copy's would be another one.
    return step.idempotency_key != f"{step.run_id}:{step.step_index}"
