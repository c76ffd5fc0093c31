"""Verifying a step in doubt: a step of its own asks whether it happened, and its verdict ends the doubt.

While it is verified the step is in doubt for the reason `verifying`: no claim takes it, no ending run skips it. What
its own attempt still records wins over a verdict that has not come; after the verdict it is late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from agentflow.declare.tool import verify_task_of
from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.failure import ErrorKind
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import Completed, Failed, InDoubt, OutboxMessage, Retrying
from agentflow.domain.run import Run
from agentflow.domain.step import VERIFY, Effect, StepStatus
from agentflow.domain.waiting import SETTLING, VERIFYING
from agentflow.engine.alarms import alert_outcome, alert_step
from agentflow.engine.answering import answer_not_happened
from agentflow.engine.failures import failed_of
from agentflow.policy.keys import KeyEnd
from agentflow.policy.recovery import POISON_DEATHS
from agentflow.policy.scratchpad import merged
from agentflow.store import doubts, keys, logs, outbox, runs, steps
from agentflow.store.database import Transaction
from agentflow.store.steps import PlannedStep


def begin_verification(tx: Transaction, run: Run, step: LockedStep, now: datetime, *, after_s: float) -> list[Hint]:
    """Add the step that asks, in `after_s` seconds, whether a locked step happened.

    Nothing of that step can arrive later than `settle_s` from now, or from the end of its lease.
    """
    settled_at = (now + timedelta(seconds=step.settle_s or 0.0)).isoformat()
    index = steps.next_index(tx, run.run_id)
    asked = {"arguments": step.input, "key": step.sent_key, "attempt": step.attempt, "settled_at": settled_at}
    planned = PlannedStep(
        run_id=run.run_id,
        step_index=index,
        tenant=run.tenant,
        tool_name=VERIFY,
        input=asked,
        idempotency_key=f"{run.run_id}:{index}",
        business_key=False,
        args_hash=payload.digest(asked),
        agent_version=run.agent_version,
        task_name=verify_task_of(step.task_name),
        queue=step.queue,
        effect=Effect.READ,
        timeout_s=step.timeout_s,
        parent_index=None,
        call_index=None,
        bulkhead=step.bulkhead,
        subject_index=step.step_index,
        subject_tool=step.tool_name,
        waiting_reason=VERIFYING if after_s else None,
        after_s=after_s or None,
    )
    steps.insert(tx, [planned])
    runs.note_inserted(tx, run.run_id, index)
    return [] if after_s else [Hint(planned.task_name, planned.queue, run.run_id, index)]


def is_too_early(step: LockedStep, outcome: Completed, now: datetime) -> Retrying | None:
    """Return the wait of a verification that found nothing before everything can have arrived; None for all others."""
    if step.tool_name != VERIFY or outcome.output["verdict"] != "not_happened":
        return None
    settled_at = datetime.fromisoformat(step.input["settled_at"])
    assert step.claimed_at is not None
    # By when it began to ask: what it saw may be old by the time it is recorded.
    if step.claimed_at >= settled_at:
        return None
    left_s = max(0.0, (settled_at - now).total_seconds())
    return Retrying(Failed(ErrorKind.UNCONFIRMED, "nothing is found yet", happened=False), left_s, SETTLING)


def drop_needless(tx: Transaction, run: Run, verification: LockedStep) -> bool:
    """Skip a verification that is parked to ask again, if its step has its outcome by now; return whether it had."""
    if _in_its_doubt(tx, verification) is not None:
        return False
    steps.settle_unclaimed(tx, replace(verification, status=StepStatus.PENDING), StepStatus.SKIPPED)
    runs.note_settled(tx, run, verification.step_index)
    return True


def end_doubt(
    tx: Transaction, run: Run, verification: LockedStep, outcome: Completed | Failed | InDoubt, *, draw: float
) -> list[Hint]:
    """Write what a verification came to on the step that it is about, if that is still in doubt."""
    step = _in_its_doubt(tx, verification)
    if step is None:
        return []
    if not isinstance(outcome, Completed):
        return _leave_to_person(tx, run, step, f"its verification failed: {outcome.message}")
    match outcome.output["verdict"]:
        case "happened":
            return _end_found(tx, run, step, outcome.output["result"])
        case "not_happened":
            return _repeat(tx, run, step, draw)
        case _:
            reason = outcome.output["reason"]
            return _leave_to_person(tx, run, step, f"its verification cannot tell{f': {reason}' if reason else ''}")


def _in_its_doubt(tx: Transaction, verification: LockedStep) -> LockedStep | None:
    """Lock the step that a verification is about, if it is in the very doubt that the verification was made for.

    Of a later attempt it can say nothing: it may have asked before that one's call.
    """
    assert verification.subject_index is not None
    step = steps.lock(tx, verification.run_id, verification.subject_index)
    if step is None or step.status is not StepStatus.IN_DOUBT or step.waiting_reason != VERIFYING:
        return None
    return step if step.attempt == verification.input["attempt"] else None


def confirm(tx: Transaction, run: Run, step: LockedStep, given: Completed) -> list[Hint]:
    """End a locked step in doubt that did happen, as if its attempt had recorded what it gave."""
    doubts.settle(tx, step, StepStatus.OK, output=given.output, flags=given.flags, noted=given.scratchpad or None)
    hints = outbox.queue(tx, given.outbox, tenant=run.tenant, run_id=run.run_id, step_index=step.step_index)
    runs.note_outcome(tx, run, step.step_index, merged(run.scratchpad, given.scratchpad))
    return [*hints, *(keys.resolve(tx, step, KeyEnd.DONE, given.output) if step.business_key else ())]


def _end_found(tx: Transaction, run: Run, step: LockedStep, found: Any) -> list[Hint]:
    """End a step that was found to have happened: what it gave itself counts before what its verification found."""
    if step.error is not None:
        # No doubt is left of the call, but a bug in its tool is still to be mended.
        alert_outcome(tx, run, step, failed_of(step.error, happened=True))
    return confirm(tx, run, step, Completed(found) if step.unconfirmed is None else completed_of(step.unconfirmed))


def _repeat(tx: Transaction, run: Run, step: LockedStep, draw: float) -> list[Hint]:
    """Answer a step that certainly did not happen as any failure, and one that was lost by another attempt."""
    error = {**(step.error or {}), "happened": False}
    if step.unconfirmed is not None:
        message = "it was answered with success, but its verification found nothing"
        if step.effect is Effect.UNSAFE:
            return _leave_to_person(tx, run, step, message)
        error = {"kind": ErrorKind.UNCONFIRMED, "message": message, "happened": False}
    if error["kind"] == ErrorKind.LOST and step.deaths < POISON_DEATHS:
        return _try_again(tx, step, error, "retry_lost", 0.0)
    if error["kind"] == ErrorKind.LOST:
        error = {**error, "kind": ErrorKind.POISON, "message": f"{step.tool_name!r} killed every worker that tried it"}
    answered = answer_not_happened(run, step, error, steps.earlier_failures(tx, step), draw)
    if isinstance(answered.outcome, Retrying):
        retried = {**error, "retry_in_s": round(answered.outcome.after_s, 3)}
        return _try_again(tx, step, retried, answered.outcome.reason, answered.outcome.after_s)
    alert_outcome(tx, run, step, answered.outcome)
    doubts.settle(tx, step, StepStatus.ERROR, error=error)
    logs.end_attempt(tx, step, StepStatus.ERROR, error=error)
    runs.note_settled(tx, run, step.step_index)
    if answered.stop is not None:
        runs.request_stop(tx, run.run_id, answered.stop)
    return list(keys.free(tx, step)) if step.business_key else []


def _try_again(tx: Transaction, step: LockedStep, error: Mapping[str, Any], reason: str, after_s: float) -> list[Hint]:
    logs.end_attempt(tx, step, "retried", error=error)
    doubts.try_again(tx, step, error, reason, after_s)
    return [] if after_s else hints_of_repeat(step)


def hints_of_repeat(step: LockedStep) -> list[Hint]:
    """Return the hint of a step that is tried again now; what has to run alone is left to the sweeper.

    That knows whether there is a quarantine.
    """
    return [] if step.quarantined else [Hint(step.task_name, step.queue, step.run_id, step.step_index)]


def _leave_to_person(tx: Transaction, run: Run, step: LockedStep, why: str) -> list[Hint]:
    error = {"kind": ErrorKind.UNCONFIRMED, "message": "", **(step.error or {}), "happened": None}
    error["message"] = f"{error['message']}; {why}".removeprefix("; ")
    doubts.leave_to_person(tx, step, error)
    alert_step(tx, run, step, "in_doubt", f"{step.tool_name!r} is in doubt: {error['message']}")
    return []


def as_unconfirmed(outcome: Completed) -> Mapping[str, Any]:
    """Return an outcome as it is stored until its verification."""
    return {
        "output": outcome.output,
        "scratchpad": dict(outcome.scratchpad),
        "outbox": [{"kind": each.kind, "payload": each.payload} for each in outcome.outbox],
        "flags": list(outcome.flags),
    }


def completed_of(stored: Mapping[str, Any]) -> Completed:
    """Return an outcome that was stored until its verification."""
    messages = tuple(OutboxMessage(**each) for each in stored["outbox"])
    return Completed(stored["output"], stored["scratchpad"], messages, flags=tuple(stored["flags"]))
