"""Taking back the steps of lost attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from agentflow.domain.claim import LockedStep
from agentflow.domain.failure import ErrorKind
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.outcome import Failed, Retrying
from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import CLEARING, StepStatus
from agentflow.domain.waiting import IN_DOUBT, VERIFYING
from agentflow.engine.alarms import alert_step
from agentflow.engine.answering import answer_overrun
from agentflow.engine.failures import error_of
from agentflow.engine.following import follow_clearing
from agentflow.engine.runtime import RECORD_MARGIN_S
from agentflow.engine.standing import settle_standing
from agentflow.engine.verifying import begin_verification
from agentflow.policy.happening import happened
from agentflow.policy.keys import KeyEnd
from agentflow.policy.recovery import Evidence, NotYet, Poison, PutInDoubt, Recovery, RunAgain, Verify, decide_lost
from agentflow.store import keys, logs, runs, steps
from agentflow.store.database import Transaction

QUARANTINE_QUEUE = "quarantine"


_ENDED = {Evidence.LEASE_OVER, Evidence.OVERRUN}


def take_back(
    tx: Transaction, run_id: str, step_index: int, attempt: int, evidence: Evidence, *, draw: float = 0.5
) -> list[Hint] | None:
    """Take a lost attempt's step back, if it is still that attempt's; return the hints that follow, None otherwise.

    `draw` is a random number from 0 up to 1, for the distance of a retry.
    """
    locked = runs.lock(tx, run_id)
    step = steps.lock(tx, run_id, step_index) if locked else None
    if locked is None or step is None or step.status is not StepStatus.RUNNING or step.attempt != attempt:
        return None
    run, now = locked
    if evidence in _ENDED and (step.lease_until is None or step.lease_until > now):
        return None
    decided = decide_lost(
        step.effect,
        evidence,
        quarantined=step.quarantined,
        deaths=step.deaths,
        lost_before=step.attempt > 1 and steps.was_lost(tx, step),
    )
    if isinstance(decided, NotYet):
        return None
    hints = _charge_lost(tx, step)
    if not isinstance(decided, PutInDoubt | Verify) and _overran(step, evidence, now):
        return [*hints, *_answer_overrun(tx, run, step, now, draw)]
    return [*hints, *_end_attempt(tx, run, step, evidence, decided, now)]


def _end_attempt(
    tx: Transaction, run: Run, step: LockedStep, evidence: Evidence, decided: Recovery, now: datetime
) -> list[Hint]:
    match decided:
        case RunAgain():
            return _run_again(tx, run, step, evidence, decided)
        case PutInDoubt():
            return _put_in_doubt(tx, run, step, evidence)
        case Verify(deaths):
            return _verify(tx, run, step, evidence, now, deaths=deaths)
        case Poison(deaths):
            return _poison(tx, run, step, deaths)
        case NotYet():
            return []
    assert_never(decided)


def _run_again(tx: Transaction, run: Run, step: LockedStep, evidence: Evidence, decided: RunAgain) -> list[Hint]:
    error = {"kind": ErrorKind.LOST, "message": _why(evidence), "happened": happened(step.effect, said=None)}
    steps.take_back(tx, step, error, quarantine=decided.alone, deaths=decided.deaths)
    logs.end_attempt(tx, step, "lost", error=error)
    settle_standing(tx, run, "attempt_lost", step.step_index)
    queue = QUARANTINE_QUEUE if decided.alone else step.queue
    return [Hint(step.task_name, queue, step.run_id, step.step_index)]


def _charge_lost(tx: Transaction, step: LockedStep) -> list[Hint]:
    """Charge a lost model call at all that was reserved for it: nobody knows what it came to."""
    if step.reserved == Reserved():
        return []
    runs.settle(tx, step, tokens=step.reserved.tokens, cost_usd=step.reserved.cost_usd)
    logs.lost_model_call(tx, step)
    return list(steps.wake(tx, "wake_reserved", run_id=step.run_id))


def _overran(step: LockedStep, evidence: Evidence, now: datetime) -> bool:
    """True where the attempt ended because its call took too long: its process hangs, or was killed for that."""
    if evidence is Evidence.OVERRUN:
        return True
    assert step.lease_until is not None
    return evidence is Evidence.CHILD_DEAD and step.lease_until - timedelta(seconds=RECORD_MARGIN_S) <= now


def _answer_overrun(tx: Transaction, run: Run, step: LockedStep, now: datetime, draw: float) -> list[Hint]:
    """Answer a call that took too long as any failure, by its kind: that is no death of its worker."""
    assert step.lease_until is not None
    lease_left_s = max(0.0, (step.lease_until - now).total_seconds())
    earlier = steps.earlier_failures(tx, replace(step, attempt=step.attempt - 1))
    answered = answer_overrun(run, step, earlier, lease_left_s, draw)
    error = error_of(answered.outcome) or {}
    if isinstance(answered.outcome, Retrying):
        logs.end_attempt(tx, step, "retried", error=error)
        steps.retry(tx, step, error, answered.outcome.reason, answered.outcome.after_s)
        settle_standing(tx, run, answered.outcome.reason, step.step_index)
        if not run.stop_requested or step.tool_name in CLEARING:
            return []
        runs.request_stop(tx, run.run_id, run.stop_requested)
        return [advance_hint(run.run_id, run.queue)]
    if answered.stop is not None and step.tool_name not in CLEARING:
        runs.request_stop(tx, run.run_id, answered.stop)
    return _fail(tx, run, step, error, deaths=0)


def _put_in_doubt(tx: Transaction, run: Run, step: LockedStep, evidence: Evidence) -> list[Hint]:
    error = _doubt_of(step, evidence)
    steps.fail_lost(tx, step, StepStatus.IN_DOUBT, error, waiting_reason=IN_DOUBT)
    logs.end_attempt(tx, step, StepStatus.IN_DOUBT, error=error)
    hints = list(keys.resolve(tx, step, KeyEnd.HELD)) if step.business_key else []
    settle_standing(tx, run, "step_in_doubt", step.step_index)
    alert_step(tx, run, step, "in_doubt", f"{step.tool_name!r} is in doubt: {error['message']}")
    return hints


def _verify(
    tx: Transaction, run: Run, step: LockedStep, evidence: Evidence, now: datetime, *, deaths: int
) -> list[Hint]:
    error = _doubt_of(step, evidence)
    steps.fail_lost(tx, step, StepStatus.IN_DOUBT, error, deaths=deaths, quarantine=True, waiting_reason=VERIFYING)
    logs.end_attempt(tx, step, StepStatus.IN_DOUBT, error=error)
    hints = list(keys.resolve(tx, step, KeyEnd.HELD)) if step.business_key else []
    hints += begin_verification(tx, run, step, now, after_s=step.settle_s or 0.0)
    settle_standing(tx, run, "step_in_doubt", step.step_index)
    return hints


def _doubt_of(step: LockedStep, evidence: Evidence) -> dict[str, Any]:
    """Return what is stored of a lost call that may have happened, and until when it can have been sent."""
    until = step.lease_until.isoformat() if step.lease_until else None
    message = f"{_why(evidence)}; the call may have been sent at any time until {until or 'nobody knows when'}"
    kind = ErrorKind.TIMEOUT if evidence is Evidence.OVERRUN else ErrorKind.LOST
    return {"kind": kind, "message": message, "happened": None, "sent_until": until}


def _poison(tx: Transaction, run: Run, step: LockedStep, deaths: int) -> list[Hint]:
    message = f"{step.tool_name!r} killed its worker {step.deaths + deaths} times while it ran alone"
    alert_step(tx, run, step, "poison", message)
    return _fail(tx, run, step, {"kind": "poison", "message": message, "happened": None}, deaths=deaths)


def _fail(tx: Transaction, run: Run, step: LockedStep, error: Mapping[str, Any], *, deaths: int) -> list[Hint]:
    """End a step for good whose attempt is gone, and have its run decide what comes next."""
    steps.fail_lost(tx, step, StepStatus.ERROR, error, deaths=deaths)
    logs.end_attempt(tx, step, StepStatus.ERROR, error=error)
    hints = list(keys.free(tx, step)) if step.business_key else []
    runs.note_settled(tx, run, step.step_index)
    if step.tool_name in CLEARING:
        hints += follow_clearing(tx, run, step, Failed(error["kind"], error["message"]))
    settle_standing(tx, run, "step_error", step.step_index)
    return [*hints, advance_hint(run.run_id, run.queue)]


def _why(evidence: Evidence) -> str:
    return {
        Evidence.LEASE_OVER: "its lease ended without an outcome",
        Evidence.OVERRUN: "it did not end in time",
        Evidence.WORKER_DEAD: "its worker stopped beating",
        Evidence.CHILD_DEAD: "its process died",
        Evidence.RELEASED: "its worker was told to end before it was done",
    }[evidence]
