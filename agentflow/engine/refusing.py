"""Refusing a claim: every other answer than `claimed`, and what it makes of the step and its run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentflow.domain.claim import ClaimAnswer, LockedStep, Refused
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Run
from agentflow.domain.step import StepStatus
from agentflow.domain.waiting import RUN_PAUSED
from agentflow.engine.approving import settle_unapproved
from agentflow.engine.standing import settle_standing
from agentflow.store import keys, runs, steps
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Transaction

# How long a step waits for a key that another run holds; the run that resolves the key wakes it before.
KEY_WAIT_S = 30.0
# How long a step waits that reached a worker which can't take it: one that can may be in another deployment.
UNSERVED_WAIT_S = 5.0
# A paused run's steps are not woken before it is resumed; the time is for whoever reads the row.
PAUSED_WAIT_S = 3600.0
# A paused tool's steps are not woken before it is resumed either.
HELD_WAIT_S = 60.0
# How long a step waits for other calls' reservations; the record that settles one wakes it before.
RESERVED_WAIT_S = 5.0

_WAITS = {
    ClaimAnswer.KEY_IN_FLIGHT: KEY_WAIT_S,
    ClaimAnswer.UNSERVED: UNSERVED_WAIT_S,
    ClaimAnswer.BUDGET_RESERVED: RESERVED_WAIT_S,
    ClaimAnswer.DENIED: HELD_WAIT_S,
}


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """Another answer, and the hints that it makes necessary."""

    refusal: Refused
    hints: list[Hint] = field(default_factory=list)


def refuse(tx: Transaction, run: Run, step: LockedStep, refusal: Refused) -> NotClaimed:
    """Answer a refusal in its own way: leave, stop the run, park, or settle the step without a call."""
    match refusal.answer:
        case ClaimAnswer.BUDGET:
            runs.request_stop(tx, run.run_id, f"budget_{refusal.detail}")
        case ClaimAnswer.RUN_STOPPED if run.stop_requested or refusal.detail == "deadline":
            # A step may come back from a lost worker after its run was asked to stop: the run has still to end.
            runs.request_stop(tx, run.run_id, refusal.detail)
        case ClaimAnswer.RUN_STOPPED if refusal.detail == "paused":
            steps.park(tx, step, RUN_PAUSED, PAUSED_WAIT_S)
            settle_standing(tx, run, RUN_PAUSED, step.step_index)
            return NotClaimed(refusal)
        case ClaimAnswer.UNAPPROVED:
            settle_unapproved(tx, run, step, refusal)
        case ClaimAnswer.KEY_IN_FLIGHT | ClaimAnswer.UNSERVED | ClaimAnswer.BUDGET_RESERVED | ClaimAnswer.DENIED:
            _park(tx, run, step, refusal)
            return NotClaimed(refusal)
        case ClaimAnswer.KEY_DONE:
            record = keys.take(tx, step).record
            assert record is not None
            return settle(tx, run, step, refusal, record.output)
        case ClaimAnswer.KEY_CONFLICT:
            message = f"the key {step.idempotency_key!r} was used by run {refusal.detail} with other arguments"
            error = {"kind": "bad_input", "message": message, "happened": False}
            steps.settle_unclaimed(tx, step, StepStatus.ERROR, error=error)
            runs.note_settled(tx, run, step.step_index)
        case _:
            return NotClaimed(refusal)
    return NotClaimed(refusal, [advance_hint(run.run_id, run.queue)])


def settle(tx: Transaction, run: Run, step: LockedStep, refusal: Refused, output: Any) -> NotClaimed:
    """End a step by an answer that is known already."""
    steps.settle_unclaimed(tx, step, StepStatus.OK, output=output)
    runs.note_settled(tx, run, step.step_index)
    return NotClaimed(refusal, [advance_hint(run.run_id, run.queue)])


def _park(tx: Transaction, run: Run, step: LockedStep, refusal: Refused) -> None:
    reason = refusal.detail if refusal.answer is ClaimAnswer.DENIED else str(refusal.answer)
    steps.park(tx, step, reason, _WAITS[refusal.answer])
    if refusal.answer is ClaimAnswer.KEY_IN_FLIGHT:
        # Its holder may be in a doubt that nobody ever ends: a run that waits in front of its first call ends too.
        runs.start_clock(tx, run.run_id)
    settle_standing(tx, run, reason, step.step_index)
    if refusal.answer is ClaimAnswer.UNSERVED:
        cause = f"unserved:{run.agent}:{step.tool_name}"
        raise_alert(tx, run.tenant, cause, refusal.detail, run_id=run.run_id)
