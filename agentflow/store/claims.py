"""Claims in Postgres: a step and its run under their locks, and one attempt's hold on the step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agentflow.domain.claim import LockedStep
from agentflow.domain.identity import Worker
from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import CLEARING, MODEL, OWN_STEPS, StepStatus
from agentflow.store.database import Transaction
from agentflow.store.rows import locked_step_of, run_of
from agentflow.store.steps import check_transition

_OF_STEP = "s_"
_NOTHING = Reserved()


@dataclass(frozen=True, slots=True)
class Locked:
    """A step and its run under their locks, at a time of the database's clock.

    `time_left_s` is what is left of a run whose time stands still, `held` why the step's bulkhead is paused.
    """

    run: Run
    step: LockedStep
    now: datetime
    time_left_s: float | None = None
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt's hold on a step: what its fence is, how long it lasts, and when its run has to end."""

    attempt: int
    token: str
    claimed_at: datetime
    lease_until: datetime
    deadline_at: datetime | None


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
    return Locked(run_of(row), locked_step_of(of_step), row["now"], row["time_left_s"], row["held"])


def take(
    tx: Transaction, locked: Locked, worker: Worker, token: str, *, lease_s: float, reserved: Reserved = _NOTHING
) -> Hold:
    """Hand a locked, pending step to one attempt and reserve what it may cost; what clears up is not counted.

    Its times are the lock's, so that nobody has to wait for what was written.
    """
    step = locked.step
    check_transition(step, StepStatus.RUNNING)
    hold = Hold(
        attempt=step.attempt + 1,
        token=token,
        claimed_at=locked.now,
        lease_until=locked.now + timedelta(seconds=lease_s),
        deadline_at=_deadline_of(locked),
    )
    tx.write(
        "claim_step",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=hold.attempt,
        claim_token=token,
        worker_id=worker.worker_id,
        worker_pid=worker.pid,
        claimed_at=hold.claimed_at,
        lease_until=hold.lease_until,
        deadline_at=hold.deadline_at,
        is_tool_call=step.tool_name != MODEL and step.tool_name not in OWN_STEPS,
        is_clearing=step.tool_name in CLEARING,
        tokens=reserved.tokens,
        cost_usd=reserved.cost_usd,
    )
    return hold


def _deadline_of(locked: Locked) -> datetime | None:
    """Return when the run has to end: its time begins with its first claim, unless it stands still."""
    run = locked.run
    time_s: Any = run.budget.get("time_s")
    if run.deadline_at is not None or locked.time_left_s is not None or time_s is None:
        return run.deadline_at
    return locked.now + timedelta(seconds=float(time_s))
