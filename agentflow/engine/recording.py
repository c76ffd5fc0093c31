"""Recording an outcome: one transaction behind the fence, with what comes next where that is decided already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt, ModelCallLog, Retrying
from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import StepStatus
from agentflow.engine.alarms import alert_outcome
from agentflow.engine.deciding import Plan, apply_plan
from agentflow.engine.joining import join_scratchpad
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.standing import settle_standing
from agentflow.policy.keys import KeyEnd, decide_key_end
from agentflow.policy.scratchpad import merged
from agentflow.store import keys, logs, runs, steps
from agentflow.store.database import Transaction

_STATUS: Mapping[type, StepStatus] = {
    Completed: StepStatus.OK,
    Failed: StepStatus.ERROR,
    InDoubt: StepStatus.IN_DOUBT,
    Retrying: StepStatus.PENDING,
}

# An outcome is worth waiting for: as long as the lease leaves room, a database that restarts loses none.
_PATIENCE_S = RECORD_MARGIN_S - 2


@dataclass(frozen=True, slots=True)
class Tried:
    """What an attempt came to, the plan that was made for exactly that, and why the run has to stop where it has."""

    outcome: AttemptOutcome
    latency_ms: float
    plan: Plan | None = None
    stop: str | None = None


# Runs under the run's lock, behind the fence.
Try = Callable[[Transaction, Run], Tried]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written. `undecided` says that the run's next decision is still to be made."""

    outcome: AttemptOutcome
    undecided: bool
    hints: list[Hint] = field(default_factory=list)


def record_outcome(
    runtime: Runtime,
    claim: Claim,
    outcome: AttemptOutcome,
    *,
    latency_ms: float,
    plan: Plan | None = None,
    stop: str | None = None,
) -> Recorded | None:
    """Record an outcome if the attempt is still ours; return None otherwise.

    Step, logs, outbox rows, key and spent budget commit together, so that a crash leaves all or none. `plan` is
    written too where the run's version is still the one it was made on. With `stop`, the run is asked to end.
    """

    def give(_: Transaction, run: Run) -> Tried:
        joined = join_scratchpad(claim, run, outcome)
        return Tried(joined, latency_ms, plan if joined is outcome else None, stop)

    return _record(runtime, claim, give)


def record_by_doing(runtime: Runtime, claim: Claim, call: Try) -> Recorded | None:
    """Call a transactional tool inside the recording transaction, behind the fence, and record what it came to."""
    return _record(runtime, claim, call)


def _record(runtime: Runtime, claim: Claim, call: Try) -> Recorded | None:
    kept: list[AttemptOutcome] = []

    def body(tx: Transaction) -> Recorded | None:
        locked = runs.lock(tx, claim.run.run_id)
        step = steps.lock(tx, claim.run.run_id, claim.step.step_index) if locked else None
        if locked is None or step is None or (step.claim_token, step.attempt) != (claim.token, claim.attempt):
            return None
        run, _ = locked
        if step.status not in {StepStatus.RUNNING, StepStatus.IN_DOUBT}:
            # An earlier try at this transaction did commit and only its answer was lost; or others ended the step.
            known = [outcome for outcome in kept if _STATUS[type(outcome)] is step.status]
            return Recorded(known[0], undecided=True) if known else None
        tried = call(tx, run)
        if step.status is StepStatus.IN_DOUBT and isinstance(tried.outcome, InDoubt):
            return None
        kept[:] = [tried.outcome]
        return _write(tx, claim, run, step, tried)

    return runtime.database.atomically(body, patience_s=_PATIENCE_S)


def _write(tx: Transaction, claim: Claim, run: Run, step: LockedStep, tried: Tried) -> Recorded:
    outcome, plan = tried.outcome, tried.plan
    status = _STATUS[type(outcome)]
    _log(tx, claim, run, step, tried)
    hints = _settle(tx, step, outcome)
    if isinstance(outcome, Retrying):
        steps.retry(tx, step, error_of(outcome) or {}, outcome.reason, outcome.after_s)
        settle_standing(tx, run, outcome.reason, step.step_index)
        if run.stop_requested:
            # Nothing is tried again in a run that ends, and nobody else would come back to it before the retry is due.
            runs.request_stop(tx, run.run_id, run.stop_requested)
            return Recorded(outcome, undecided=True, hints=hints)
        if outcome.after_s == 0:
            hints.append(Hint(step.task_name, step.queue, step.run_id, step.step_index))
        return Recorded(outcome, undecided=False, hints=hints)
    error = error_of(outcome)
    output = outcome.output if isinstance(outcome, Completed) else None
    flags = outcome.flags if isinstance(outcome, Completed) else ()
    steps.finish(tx, step, status, output=output, error=error, flags=flags)
    hints += _end_key(tx, step, outcome)
    changes = outcome.scratchpad if isinstance(outcome, Completed) else {}
    scratchpad = merged(run.scratchpad, changes)
    runs.note_outcome(tx, run, step.step_index, scratchpad)
    if tried.stop is not None:
        runs.request_stop(tx, run.run_id, tried.stop)
    current = plan is not None and plan.version == run.version and not (run.stop_requested or tried.stop)
    if plan is not None and current and step.status is StepStatus.RUNNING:
        applied = apply_plan(tx, run, plan, reason=f"step_{status}", noted=1)
        return Recorded(outcome, undecided=False, hints=[*hints, *applied])
    settle_standing(tx, run, f"step_{status}", step.step_index)
    return Recorded(outcome, undecided=True, hints=hints)


def _log(tx: Transaction, claim: Claim, run: Run, step: LockedStep, tried: Tried) -> None:
    outcome = tried.outcome
    error = error_of(outcome)
    status = "retried" if isinstance(outcome, Retrying) else _STATUS[type(outcome)]
    logs.end_attempt(tx, step, status, error=error, latency_ms=tried.latency_ms)
    if (call := _model_call(outcome)) is not None:
        logs.model_call(tx, claim, call, tried.latency_ms)
    if isinstance(outcome, Completed):
        logs.outbox(tx, claim, outcome.outbox)
    alert_outcome(tx, run, step, outcome)


def _end_key(tx: Transaction, step: LockedStep, outcome: Completed | Failed | InDoubt) -> list[Hint]:
    if not step.business_key:
        return []
    end = decide_key_end(step.effect, outcome)
    if end is KeyEnd.FREED:
        return list(keys.free(tx, step))
    return list(keys.resolve(tx, step, end, outcome.output if isinstance(outcome, Completed) else None))


def _settle(tx: Transaction, step: LockedStep, outcome: AttemptOutcome) -> list[Hint]:
    """Charge what the call cost in place of what was reserved, and wake who waited for the difference."""
    call = _model_call(outcome)
    tokens = call.prompt_tokens + call.completion_tokens if call else 0
    runs.settle(tx, step, tokens=tokens, cost_usd=(call.cost_usd if call else None) or Decimal(0))
    return [] if step.reserved == Reserved() else list(steps.wake(tx, "wake_reserved", run_id=step.run_id))


def _model_call(outcome: AttemptOutcome) -> ModelCallLog | None:
    match outcome:
        case Retrying(failed):
            return failed.model_call
        case InDoubt():
            return None
        case _:
            return outcome.model_call


def error_of(outcome: AttemptOutcome) -> Mapping[str, Any] | None:
    """Return what is stored of a failure: kind, message, happened, and what else is known."""
    match outcome:
        case Completed():
            return None
        case Failed(kind, message, happened, details):
            known = {"status": outcome.status, "retry_after_s": outcome.retry_after_s}
            said = {name: value for name, value in known.items() if value is not None}
            return {"kind": kind, "message": payload.sanitise(message).value, "happened": happened, **said, **details}
        case Retrying(failed, after_s):
            return {**(error_of(failed) or {}), "retry_in_s": round(after_s, 3)}
        case InDoubt(kind, message):
            return {"kind": kind, "message": payload.sanitise(message).value, "happened": None}
