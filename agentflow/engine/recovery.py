"""Taking back the steps of lost attempts."""

from __future__ import annotations

from agentflow.domain.claim import LockedStep
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Run
from agentflow.domain.step import StepStatus
from agentflow.engine.alarms import alert_step
from agentflow.engine.standing import settle_standing
from agentflow.policy.recovery import Evidence, NotYet, Poison, PutInDoubt, RunAgain, decide_lost
from agentflow.store import keys, logs, runs, steps
from agentflow.store.database import Transaction

QUARANTINE_QUEUE = "quarantine"


def take_back(tx: Transaction, run_id: str, step_index: int, attempt: int, evidence: Evidence) -> list[Hint]:
    """Take a lost attempt's step back, if it is still that attempt's; return the hints that follow."""
    locked = runs.lock(tx, run_id)
    step = steps.lock(tx, run_id, step_index) if locked else None
    if locked is None or step is None or step.status is not StepStatus.RUNNING or step.attempt != attempt:
        return []
    run, now = locked
    if evidence is Evidence.LEASE_OVER and (step.lease_until is None or step.lease_until > now):
        return []
    match decide_lost(step.effect, evidence, quarantined=step.quarantined, deaths=step.deaths):
        case NotYet():
            return []
        case RunAgain(deaths):
            steps.take_back(tx, step, quarantine=True, deaths=deaths)
            logs.end_attempt(tx, step, "lost", error={"kind": "lost", "message": _why(evidence)})
            settle_standing(tx, run, "attempt_lost", step_index)
            return [Hint(step.task_name, QUARANTINE_QUEUE, run_id, step_index)]
        case PutInDoubt():
            return _put_in_doubt(tx, run, step, evidence)
        case Poison(deaths):
            return _poison(tx, run, step, deaths)


def _put_in_doubt(tx: Transaction, run: Run, step: LockedStep, evidence: Evidence) -> list[Hint]:
    until = step.lease_until.isoformat() if step.lease_until else "unknown"
    message = f"{_why(evidence)}; the call may have been sent at any time until {until}"
    error = {"kind": "in_doubt", "message": message, "happened": None}
    steps.fail_lost(tx, step, StepStatus.IN_DOUBT, error, deaths=0)
    logs.end_attempt(tx, step, StepStatus.IN_DOUBT, error=error)
    hints = list(keys.resolve(tx, step, "in_doubt")) if step.business_key else []
    settle_standing(tx, run, "step_in_doubt", step.step_index)
    alert_step(tx, run, step, "in_doubt", f"{step.tool_name!r} is in doubt: {message}")
    return hints


def _poison(tx: Transaction, run: Run, step: LockedStep, deaths: int) -> list[Hint]:
    message = f"{step.tool_name!r} killed its worker {step.deaths + deaths} times while it ran alone"
    error = {"kind": "poison", "message": message, "happened": None}
    steps.fail_lost(tx, step, StepStatus.ERROR, error, deaths=deaths)
    logs.end_attempt(tx, step, StepStatus.ERROR, error=error)
    hints = list(keys.free(tx, step)) if step.business_key else []
    runs.note_settled(tx, run, step.step_index)
    settle_standing(tx, run, "step_error", step.step_index)
    alert_step(tx, run, step, "poison", message)
    return [*hints, advance_hint(run.run_id, run.queue)]


def _why(evidence: Evidence) -> str:
    return {
        Evidence.LEASE_OVER: "its lease ended without an outcome",
        Evidence.WORKER_DEAD: "its worker stopped beating",
        Evidence.CHILD_DEAD: "its process died",
    }[evidence]
