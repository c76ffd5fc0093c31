"""Whether a failed run may be taken up again, and which of its steps are to be done once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain.ended import EndedRun, EndedStep
from agentflow.domain.run import Compensation, RunStatus
from agentflow.domain.step import COMPENSATE, OWN_STEPS, Effect, Step, StepStatus
from agentflow.policy.resolution import RESOLVED, name_of

_REPEATABLE = frozenset({Effect.READ, Effect.TRANSACTIONAL, Effect.KEYED, Effect.IDEMPOTENT})


def refuse_reopening(ended: EndedRun) -> str | None:
    """Return why a run is not taken up again, or None where it may be."""
    run = ended.run
    can_go_on = run.status is RunStatus.FAILED or (run.status is RunStatus.CANCELLED and is_undoing(ended))
    if not can_go_on:
        over = "only a failed run is retried; fork it to run it anew" if run.status.is_final else "it is not over"
        return f"it is {run.status}: {over}"
    if run.compensation == Compensation.DONE:
        return "what it did has been undone; fork it, from step 0 on, to do it anew"
    # What undoes a run says nothing in its conversation.
    if ended.has_successor and not is_undoing(ended):
        return f"a later run of its conversation {run.conversation_id!r} has begun"
    return None


def refuse_step(ended: EndedRun, step_index: int) -> str | None:
    """Return why a step that an operator has chosen is not tried again, or None where it may be."""
    found = next((each for each in ended.steps if each.step.step_index == step_index), None)
    if found is None:
        return f"it has no step {step_index}; its last one is {len(ended.steps) - 1}"
    named = f"step {step_index} ({name_of(found.step)})"
    if found.step.status is not StepStatus.ERROR and not _was_refused(found.step):
        return f"{named} is {found.step.status}; a failed step can be tried again"
    if is_undoing(ended):
        return None if found.step.tool_name == COMPENSATE else f"{named} is not what could not be undone"
    if found.step.tool_name in OWN_STEPS:
        return f"{named} belongs to how the run ended"
    if _was_gone_on_from(found, ended.steps):
        return f"the run went on from {named}: what came after it relies on its failure; fork the run there instead"
    return None


def steps_to_reopen(ended: EndedRun, step_index: int | None = None) -> Sequence[Step]:
    """Return the steps that are done once more: the one that failed, or the one chosen, and what the end skipped."""
    if is_undoing(ended):
        return [each.step for each in ended.steps if _is_failed_compensation(each.step)]
    chosen = _failed_index(ended) if step_index is None else step_index
    return [each.step for each in ended.steps if each.step.step_index == chosen or _was_cut_off(each.step)]


def is_undoing(ended: EndedRun) -> bool:
    """Answer whether it is the undoing of the run that failed, and is taken up again."""
    return ended.run.compensation == Compensation.FAILED


def refuse_repeat(step: Step) -> str | None:
    """Return why a step may not be done once more, or None: it happened, or may have, and twice would do harm."""
    happened = (step.error or {}).get("happened", False)
    if happened is False or step.effect in _REPEATABLE:
        return None
    named = f"step {step.step_index} ({name_of(step)}, {step.effect})"
    if happened is True:
        return f"{named} did happen, and a repeat would do it twice"
    mend = ""
    if (step.error or {}).get("kind") == RESOLVED:
        mend = f"; if it certainly did not, resolve it first: --step {step.step_index} fail --did-not-happen"
    return f"{named} may have happened, and a repeat could do it twice{mend}"


def refuse_ceiling(ended: EndedRun, budget: Mapping[str, Any]) -> str | None:
    """Return which ceiling of its budget would end the run again at once, or None; what undoes a run has its own."""
    if is_undoing(ended):
        return None
    attempts, spent = budget.get("attempts"), ended.run.spent.attempts
    if attempts is not None and spent >= attempts:
        return f"its budget of {attempts} attempts is used up; raise it: --budget attempts={spent + 20}"
    name = _ceiling_of(str(ended.error.get("kind", "")))
    if name is None or name not in budget or budget[name] != ended.run.budget.get(name):
        return None
    return f"it came to its ceiling of {budget[name]} {name}, and would again; raise it: --budget {name}=..."


def _ceiling_of(kind: str) -> str | None:
    """Return the ceiling that a run came to which its next decision would meet again; attempts are counted above."""
    if kind == "malformed_answers":
        return "repairs"
    return kind.removeprefix("budget_") if kind.startswith("budget_") and kind != "budget_attempts" else None


def _failed_index(ended: EndedRun) -> int | None:
    named = ended.error.get("step_index")
    for each in ended.steps:
        if each.step.step_index == named and (each.step.status is StepStatus.ERROR or _was_refused(each.step)):
            return each.step.step_index
    errors = [each for each in ended.steps if each.step.status is StepStatus.ERROR]
    newest = next((each for each in reversed(errors) if each.step.tool_name not in OWN_STEPS), None)
    # A failure that the coordinator has gone on from is not what ended the run: a model was told of it, say.
    return None if newest is None or _was_gone_on_from(newest, ended.steps) else newest.step.step_index


def _was_gone_on_from(failed: EndedStep, steps: Sequence[EndedStep]) -> bool:
    later = [each for each in steps if each.step.step_index > failed.step.step_index]
    return failed.finished_at is not None and any(
        each.created_at >= failed.finished_at for each in later if each.step.tool_name not in OWN_STEPS
    )


def _was_cut_off(step: Step) -> bool:
    """Answer whether a step was skipped because its run ended, not because a person refused it."""
    return step.status is StepStatus.SKIPPED and step.tool_name not in OWN_STEPS and not _was_refused(step)


def _was_refused(step: Step) -> bool:
    """Answer whether no person let a step be called; once it is retried, a person is asked anew."""
    return step.status is StepStatus.SKIPPED and step.error is not None and step.attempt == 0


def _is_failed_compensation(step: Step) -> bool:
    return step.tool_name == COMPENSATE and step.status is StepStatus.ERROR
