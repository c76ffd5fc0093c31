"""Claims in Postgres: a step and its run under their locks, and one attempt's hold on the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.identity import Worker
from agentflow.domain.run import Reserved, Run, RunStatus
from agentflow.domain.step import CLEARING, MODEL, OWN_STEPS, Step, StepStatus
from agentflow.store.database import Transaction
from agentflow.store.rows import locked_step_of, run_again, run_of, step_again, step_of
from agentflow.store.steps import PlannedStep, check_transition

_OF_STEP = "s_"

# What `expect_unchanged` fails with, and no other statement.
_DIVISION_BY_ZERO = "22012"


@dataclass(frozen=True, slots=True)
class Locked:
    """A step and its run under their locks, at a time of the database's clock.

    `time_left_s` is what is left of a run whose time stands still, `held` why the step's bulkhead is paused, `history`
    the run's steps where they were read along.
    """

    run: Run
    step: LockedStep
    now: datetime
    time_left_s: float | None = None
    held: str | None = None
    history: Sequence[Step] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt's hold on a step: what its fence is, how long it lasts, and when its run has to end."""

    attempt: int
    token: str
    claimed_at: datetime
    lease_s: float
    deadline_at: datetime | None

    @property
    def lease_until(self) -> datetime:
        """When the hold is over, on the database's clock."""
        return self.claimed_at + timedelta(seconds=self.lease_s)


def lock(tx: Transaction, run_id: str, step_index: int) -> Locked | None:
    """Lock a run, then a step of it; None where there is no such step.

    The run is locked by a statement of its own: two siblings that locked and read in one would each see the other
    still open, and neither would join.
    """
    tx.write("hold_run", run_id=run_id)
    row = tx.row("lock_step_of_run", run_id=run_id, step_index=step_index)
    if row is None:
        return None
    of_step = {name.removeprefix(_OF_STEP): value for name, value in row.items() if name.startswith(_OF_STEP)}
    history = [step_of(each) for each in row["history"]]
    return Locked(run_of(row), locked_step_of(of_step), row["now"], row["time_left_s"], row["held"], history)


def lock_again(tx: Transaction, claim: Claim, bulkhead: str | None = None) -> Locked | None:
    """Lock a claim's run and step as they are by now; `held` is about the bulkhead that is named.

    What no statement ever changes is the claim's, and not read again.
    """
    run_id, step_index = claim.run.run_id, claim.step.step_index
    tx.write("hold_run", run_id=run_id)
    row = tx.row("lock_again", run_id=run_id, step_index=step_index, bulkhead=bulkhead)
    if row is None:
        return None
    run, step = run_again(claim.run, row), step_again(claim.step, row)
    return Locked(run, step, row["now"], row["time_left_s"], row["held"])


def is_expectable(claim: Claim) -> bool:
    """Whether a claim's run may be taken for unchanged: nobody has asked anything of it by the time of the claim."""
    run = claim.run
    asked = run.stop_requested or run.pause_requested or run.ending or run.waiting_reason
    return run.status is RunStatus.RUNNING and not asked


def expect(tx: Transaction, claim: Claim, now: datetime, bulkhead: str | None = None) -> Locked:
    """Lock a claim's run and step, and take both for unchanged since the claim, and the bulkhead for not paused.

    Where that is not so, the transaction fails before it has written anything: see `is_unexpected`. `now` is about the
    time, on the database's clock.
    """
    run, step = claim.run, claim.step
    tx.write(
        "expect_unchanged",
        run_id=run.run_id,
        version=run.version,
        deadline_at=run.deadline_at,
        attempts=run.spent.attempts,
        tool_calls=run.spent.tool_calls,
        spent_tokens=run.spent.tokens,
        spent_cost_usd=run.spent.cost_usd,
        tokens=run.reserved.tokens,
        cost_usd=run.reserved.cost_usd,
        step_index=step.step_index,
        attempt=claim.attempt,
        claim_token=claim.token,
        bulkhead=bulkhead,
    )
    return Locked(run, step, now)


def is_unexpected(error: BaseException) -> bool:
    """Whether a transaction failed since something was not as it was taken for; it has changed nothing."""
    return getattr(getattr(error, "orig", None), "pgcode", None) == _DIVISION_BY_ZERO


def hold_of(locked: Locked, token: str, lease_s: float) -> Hold:
    """Return what an attempt would hold of a locked step; its times are the lock's, so that nobody has to ask."""
    check_transition(locked.step, StepStatus.RUNNING)
    return Hold(
        attempt=locked.step.attempt + 1,
        token=token,
        claimed_at=locked.now,
        lease_s=lease_s,
        deadline_at=_deadline_of(locked),
    )


def take(tx: Transaction, step: LockedStep, hold: Hold, worker: Worker, reserved: Reserved) -> None:
    """Hand a locked, pending step to one attempt and reserve what it may cost; what clears up is not counted."""
    tx.write(
        "claim_step",
        run_id=step.run_id,
        step_index=step.step_index,
        is_tool_call=is_tool_call(step),
        is_clearing=step.tool_name in CLEARING,
        claimed_at=hold.claimed_at,
        lease_until=hold.lease_until,
        deadline_at=hold.deadline_at,
        **_held(hold, worker, reserved),
    )


def insert(tx: Transaction, planned: PlannedStep, hold: Hold, worker: Worker, reserved: Reserved) -> None:
    """Add a step to a locked run that one attempt has already. What it takes is counted with the run's decision."""
    tx.write("insert_claimed", **planned.as_parameters(), **_held(hold, worker, reserved), lease_s=hold.lease_s)


def is_tool_call(step: LockedStep) -> bool:
    """True for a call of one of the user's tools."""
    return step.tool_name != MODEL and step.tool_name not in OWN_STEPS


def as_held(step: LockedStep, hold: Hold, worker: Worker, reserved: Reserved) -> LockedStep:
    """Return a step as its claim leaves it."""
    return replace(
        step,
        status=StepStatus.RUNNING,
        attempt=hold.attempt,
        claim_token=hold.token,
        worker_id=worker.worker_id,
        claimed_at=hold.claimed_at,
        lease_until=hold.lease_until,
        next_attempt_at=None,
        waiting_reason=None,
        reserved=reserved,
    )


def locked_of(planned: PlannedStep) -> LockedStep:
    """Return a step as its row will be, that the transaction which has its run locked is about to add."""
    return LockedStep(
        run_id=planned.run_id,
        step_index=planned.step_index,
        tenant=planned.tenant,
        tool_name=planned.tool_name,
        input=planned.input,
        status=planned.status,
        attempt=0,
        idempotency_key=planned.idempotency_key,
        business_key=planned.business_key,
        args_hash=planned.args_hash,
        effect=planned.effect,
        timeout_s=planned.timeout_s,
        queue=planned.queue,
        task_name=planned.task_name,
        claim_token=None,
        worker_id=None,
        lease_until=None,
        next_attempt_at=None,
        quarantined=False,
        deaths=0,
        bulkhead=planned.bulkhead,
        settle_s=planned.settle_s,
        verify_after=planned.verify_after,
    )


def _held(hold: Hold, worker: Worker, reserved: Reserved) -> dict[str, Any]:
    return {
        "attempt": hold.attempt,
        "claim_token": hold.token,
        "worker_id": worker.worker_id,
        "worker_pid": worker.pid,
        "tokens": reserved.tokens,
        "cost_usd": reserved.cost_usd,
    }


def _deadline_of(locked: Locked) -> datetime | None:
    """Return when the run has to end: its time begins with its first claim, unless it stands still."""
    run = locked.run
    time_s: Any = run.budget.get("time_s")
    if run.deadline_at is not None or locked.time_left_s is not None or time_s is None:
        return run.deadline_at
    return locked.now + timedelta(seconds=float(time_s))
