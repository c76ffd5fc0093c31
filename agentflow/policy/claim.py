"""What a claim is answered, from the facts under the run's lock."""

from __future__ import annotations

from datetime import datetime

from agentflow.domain.claim import ClaimAnswer, KeyRecord, LockedStep, Refused
from agentflow.domain.run import Run
from agentflow.domain.step import OWN_STEPS, StepStatus
from agentflow.policy.budget import attempts_left


def refuse_claim(run: Run, step: LockedStep, *, has_turn: bool, now: datetime) -> Refused | None:
    """Return why a step may not be claimed, or None where it may."""
    if step.status is not StepStatus.PENDING:
        return Refused(ClaimAnswer.DUPLICATE, step.status)
    if run.status.is_final:
        return Refused(ClaimAnswer.RUN_STOPPED, run.status)
    if run.pause_requested:
        return Refused(ClaimAnswer.RUN_STOPPED, "paused")
    if step.tool_name not in OWN_STEPS and (refusal := _refuse_going_on(run, has_turn=has_turn, now=now)):
        return refusal
    if step.next_attempt_at is not None and step.next_attempt_at > now:
        return Refused(ClaimAnswer.NOT_DUE)
    if step.tool_name not in OWN_STEPS and attempts_left(run) == 0:
        return Refused(ClaimAnswer.BUDGET, "attempts")
    return None


def _refuse_going_on(run: Run, *, has_turn: bool, now: datetime) -> Refused | None:
    """Return why a run takes no further step of its plan; what clears up after it is taken all the same."""
    if run.stop_requested or run.ending is not None:
        return Refused(ClaimAnswer.RUN_STOPPED, run.stop_requested or "ending")
    if run.deadline_at is not None and run.deadline_at <= now:
        return Refused(ClaimAnswer.RUN_STOPPED, "deadline")
    if not has_turn:
        return Refused(ClaimAnswer.RUN_STOPPED, "conversation_turn")
    return None


def refuse_key(step: LockedStep, record: KeyRecord | None) -> Refused | None:
    """Return why a step may not be called under its idempotency key, or None where it may.

    `record` is the key's holder, None where the step has just taken the key itself.
    """
    if record is None or (record.run_id, record.step_index) == (step.run_id, step.step_index):
        return None
    if record.args_hash != step.args_hash:
        return Refused(ClaimAnswer.KEY_CONFLICT, record.run_id)
    if record.status == "done":
        return Refused(ClaimAnswer.KEY_DONE, record.run_id)
    return Refused(ClaimAnswer.KEY_IN_FLIGHT, record.run_id)
