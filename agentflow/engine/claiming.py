"""Claiming a step: the transaction before the call, after which one attempt owns it, or another answer is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agentflow.domain.claim import Claim, ClaimAnswer, LockedStep, Refused
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Run, RunStatus
from agentflow.domain.step import MODEL, StepStatus
from agentflow.engine.deadman import boottime
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.standing import settle_standing
from agentflow.policy.claim import refuse_claim, refuse_key
from agentflow.store import conversations, keys, logs, runs, steps
from agentflow.store.database import Transaction

# How long a step waits for a key that another run holds; the run that resolves the key wakes it before.
KEY_WAIT_S = 30.0
# How long a step waits that reached a worker which can't take it: one that can may be in another deployment.
UNSERVED_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim, and until when this process may work on it, on its own clock (`boottime`)."""

    claim: Claim
    local_deadline: float


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """Another answer, and the hints that it makes necessary."""

    refusal: Refused
    hints: list[Hint] = field(default_factory=list)


def claim_step(runtime: Runtime, run_id: str, step_index: int, token: str) -> Claimed | NotClaimed:
    """Claim a step for this worker. `token` is fresh: by it a commit whose answer was lost is known again."""
    sent_at = boottime()

    def body(tx: Transaction) -> Claim | NotClaimed:
        locked = runs.lock(tx, run_id)
        step = steps.lock(tx, run_id, step_index) if locked else None
        if locked is None or step is None:
            return NotClaimed(Refused(ClaimAnswer.DUPLICATE, "no such step"))
        run, now = locked
        if step.claim_token == token and step.status is StepStatus.RUNNING:
            return _claimed_before(tx, run, step, token)
        if refusal := refuse_claim(run, step, has_turn=conversations.has_turn(tx, run), now=now):
            return _refuse(tx, run, step, refusal)
        if reason := _cannot_serve(runtime, run, step):
            return _refuse(tx, run, step, Refused(ClaimAnswer.UNSERVED, reason))
        if step.business_key and (refusal := refuse_key(step, keys.take(tx, step))):
            return _refuse(tx, run, step, refusal)
        return _claim(tx, runtime, run, step, token)

    answer = runtime.database.atomically(body)
    if isinstance(answer, NotClaimed):
        return answer
    return Claimed(answer, sent_at + (answer.lease_until - answer.claimed_at).total_seconds())


def _claim(tx: Transaction, runtime: Runtime, run: Run, step: LockedStep, token: str) -> Claim:
    row = steps.claim(
        tx, step, runtime.worker, token, lease_s=step.timeout_s + RECORD_MARGIN_S, is_tool_call=step.tool_name != MODEL
    )
    if run.status is not RunStatus.RUNNING:
        settle_standing(tx, run, "claimed", step.step_index)
    history = runs.history(tx, run.run_id)
    run = replace(run, deadline_at=row["deadline_at"])
    return Claim(run, step, row["attempt"], token, row["claimed_at"], row["lease_until"], history)


def _claimed_before(tx: Transaction, run: Run, step: LockedStep, token: str) -> Claim:
    assert step.lease_until is not None
    row = tx.row("claimed_at", run_id=step.run_id, step_index=step.step_index)
    assert row is not None
    return Claim(run, step, step.attempt, token, row["claimed_at"], step.lease_until, runs.history(tx, run.run_id))


def _cannot_serve(runtime: Runtime, run: Run, step: LockedStep) -> str | None:
    """Return why this process may not take a step: it lacks the code, or can't be killed where a late call harms."""
    declaration = runtime.registry.agents.get(run.agent)
    if declaration is None:
        return f"a worker of queue {step.queue!r} does not know the agent {run.agent!r}"
    if step.tool_name != MODEL and step.tool_name not in declaration.tools:
        return f"a worker of queue {step.queue!r} does not know the tool {step.tool_name!r} of {run.agent!r}"
    if step.effect.needs_process and not runtime.isolated:
        return f"the tool {step.tool_name!r} is {step.effect} and runs in prefork pools only; move its queue to one"
    return None


def _refuse(tx: Transaction, run: Run, step: LockedStep, refusal: Refused) -> NotClaimed:
    """Answer every refusal in its own way: leave, stop the run, park, or settle the step without a call."""
    match refusal.answer:
        case ClaimAnswer.BUDGET:
            runs.request_stop(tx, run.run_id, f"budget_{refusal.detail}")
        case ClaimAnswer.RUN_STOPPED if run.stop_requested or refusal.detail == "deadline":
            # A step may come back from a lost worker after its run was asked to stop: the run has still to end.
            runs.request_stop(tx, run.run_id, refusal.detail)
        case ClaimAnswer.KEY_IN_FLIGHT:
            steps.park(tx, step, "key_in_flight", KEY_WAIT_S)
            settle_standing(tx, run, "key_in_flight", step.step_index)
            return NotClaimed(refusal)
        case ClaimAnswer.UNSERVED:
            steps.park(tx, step, "unserved", UNSERVED_WAIT_S)
            settle_standing(tx, run, "unserved", step.step_index)
            logs.alert(tx, run.tenant, f"unserved:{run.agent}:{step.tool_name}", refusal.detail, run_id=run.run_id)
            return NotClaimed(refusal)
        case ClaimAnswer.KEY_DONE:
            record = keys.take(tx, step)
            assert record is not None
            steps.settle_unclaimed(tx, step, StepStatus.OK, output=record.output)
            runs.note_settled(tx, run, step.step_index)
        case ClaimAnswer.KEY_CONFLICT:
            message = f"the key {step.idempotency_key!r} was used by run {refusal.detail} with other arguments"
            error = {"kind": "bad_input", "message": message, "happened": False}
            steps.settle_unclaimed(tx, step, StepStatus.ERROR, error=error)
            runs.note_settled(tx, run, step.step_index)
        case _:
            return NotClaimed(refusal)
    return NotClaimed(refusal, [advance_hint(run.run_id, run.queue)])
