"""Steps in Postgres: adding, locking, claiming, ending them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.errors import IllegalTransition
from agentflow.domain.hint import Hint
from agentflow.domain.step import STEP_TRANSITIONS, Effect, StepStatus
from agentflow.store.database import Row, Transaction
from agentflow.store.rows import locked_step_of


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step as it is written: what was decided, and what its declaration says of it.

    It is due after `after_s` seconds; what waits for a `person` expires then.
    """

    run_id: str
    step_index: int
    tenant: str
    tool_name: str
    input: Mapping[str, Any]
    idempotency_key: str
    business_key: bool
    args_hash: bytes
    agent_version: str
    task_name: str
    queue: str
    effect: Effect
    timeout_s: float
    parent_index: int | None
    call_index: int | None
    bulkhead: str | None
    subject_index: int | None = None
    subject_tool: str | None = None
    person: str | None = None
    settle_s: float | None = None
    verify_after: bool = False
    waiting_reason: str | None = None
    after_s: float | None = None

    @property
    def status(self) -> StepStatus:
        """Where the step stands once it is written."""
        return StepStatus.PENDING

    @property
    def is_parked(self) -> bool:
        """True where it waits for a time or an event."""
        return self.waiting_reason is not None

    def as_parameters(self) -> dict[str, Any]:
        """Return the values of its row."""
        return {name: getattr(self, name) for name in _COLUMNS} | {"input": payload.dumps(self.input)}


_COLUMNS = tuple(each.name for each in fields(PlannedStep))


@dataclass(frozen=True, slots=True)
class OpenStep:
    """The state of a step that is not final; `is_parked` where it waits for a time or an event."""

    step_index: int
    status: StepStatus
    is_parked: bool
    waiting_reason: str | None


def lock(tx: Transaction, run_id: str, step_index: int) -> LockedStep | None:
    """Lock a step, after its run; None where there is no such step."""
    row = tx.row("lock_step", run_id=run_id, step_index=step_index)
    return locked_step_of(row) if row else None


def insert(tx: Transaction, steps: Sequence[PlannedStep]) -> None:
    """Add pending steps to a locked run."""
    tx.write_each("insert_step", [step.as_parameters() for step in steps])


def open_steps(tx: Transaction, run_id: str) -> Sequence[OpenStep]:
    """Return the states of a run's open steps."""
    return [_open_step_of(row) for row in tx.rows("open_steps", run_id=run_id)]


def park(tx: Transaction, step: LockedStep, reason: str, after_s: float) -> None:
    """Leave a locked, pending step until a time, at no cost of an attempt."""
    tx.write("park_step", run_id=step.run_id, step_index=step.step_index, reason=reason, after_s=after_s)


def park_denied(
    tx: Transaction, run_id: str, step_index: int, reason: str, after_s: float, *, hinted_at: datetime | None
) -> bool:
    """Park a step that the gate has denied; False where it is not pending any more, or was woken in the meantime.

    `hinted_at` is how it was read before the gate was asked: whoever wakes it hints it anew.
    """
    where = {"run_id": run_id, "step_index": step_index, "hinted_at": hinted_at}
    return tx.run("park_denied", reason=reason, after_s=after_s, **where) == 1


def settle_unclaimed(
    tx: Transaction, step: LockedStep, status: StepStatus, *, output: Any = None, error: Mapping[str, Any] | None = None
) -> None:
    """End a locked, pending step without a call of its own."""
    check_transition(step, status)
    tx.write(
        "settle_unclaimed",
        run_id=step.run_id,
        step_index=step.step_index,
        status=status,
        output=_dumps(output) if status is StepStatus.OK else None,
        error=_dumps(error) if error is not None else None,
    )


def finish(
    tx: Transaction,
    step: LockedStep,
    status: StepStatus,
    *,
    output: Any = None,
    error: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
    noted: Mapping[str, Any] | None = None,
    unconfirmed: Mapping[str, Any] | None = None,
    waiting_reason: str | None = None,
) -> None:
    """Write the outcome of the attempt that holds a locked step.

    `unconfirmed` is what it gave, where that is verified before it counts: a doubt stays one then.
    """
    if unconfirmed is None or step.status is not StepStatus.IN_DOUBT:
        check_transition(step, status)
    tx.write(
        "finish_step",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        claim_token=step.claim_token,
        status=status,
        output=_dumps(output) if status is StepStatus.OK else None,
        error=_dumps(error) if error is not None else None,
        flags=list(flags),
        noted=stored(noted),
        unconfirmed=stored(unconfirmed),
        waiting_reason=waiting_reason,
    )


def succeed(
    tx: Transaction,
    step: LockedStep,
    output: Any,
    *,
    flags: Sequence[str],
    noted: Mapping[str, Any] | None,
    latency_ms: float,
) -> None:
    """Write the answer of the attempt that holds a locked, running step, and its end into the call log."""
    check_transition(step, StepStatus.OK)
    tx.write(
        "succeed_step",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        claim_token=step.claim_token,
        output=_dumps(output),
        flags=list(flags),
        noted=stored(noted),
        latency_ms=latency_ms,
    )


def next_index(tx: Transaction, run_id: str) -> int:
    """Return the index that a locked run's next step gets."""
    row = tx.row("next_index", run_id=run_id)
    return int(row["step_index"]) if row else 0


def retry(tx: Transaction, step: LockedStep, error: Mapping[str, Any], reason: str, after_s: float) -> None:
    """Park a locked step whose attempt failed, for another attempt in `after_s` seconds."""
    check_transition(step, StepStatus.PENDING)
    tx.write(
        "retry_step",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        claim_token=step.claim_token,
        error=_dumps(error),
        reason=reason,
        after_s=after_s,
    )


def look(tx: Transaction, run_id: str, step_index: int) -> Row | None:
    """Return what the gate has to know of a step, without a lock; None where there is no such step."""
    return tx.row("look_at_step", run_id=run_id, step_index=step_index)


def cached_output(tx: Transaction, run_id: str, tool: str, args_hash: bytes) -> Row | None:
    """Return the output (`tool_output`) of the first step of this run that made the same call; None without one."""
    return tx.row("cached_output", run_id=run_id, tool=tool, args_hash=args_hash)


def earlier_failures(tx: Transaction, step: LockedStep) -> Sequence[Row]:
    """Return how earlier attempts at a step failed: kind, credential's generation, number of failures."""
    if step.attempt == 0:
        return ()
    return tx.rows("earlier_failures", run_id=step.run_id, step_index=step.step_index)


def was_lost(tx: Transaction, step: LockedStep) -> bool:
    """Answer whether an earlier attempt at a step was lost with its process."""
    row = tx.row("was_lost", run_id=step.run_id, step_index=step.step_index)
    return row is not None and bool(row["was_lost"])


def wake(tx: Transaction, statement: str, **which: Any) -> Sequence[Hint]:
    """Make parked steps due by one of the statements that wake, and return their hints."""
    rows = tx.rows(statement, **which)
    return [Hint(row["task_name"], row["queue"], str(row["run_id"]), row["step_index"]) for row in rows]


def take_back(tx: Transaction, step: LockedStep, error: Mapping[str, Any], *, quarantine: bool, deaths: int) -> None:
    """Make a locked step pending again whose attempt was lost."""
    check_transition(step, StepStatus.PENDING)
    tx.write(
        "take_back_step",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        error=_dumps(error),
        quarantine=quarantine,
        deaths=deaths,
    )


def fail_lost(
    tx: Transaction,
    step: LockedStep,
    status: StepStatus,
    error: Mapping[str, Any],
    *,
    deaths: int = 0,
    quarantine: bool = False,
    waiting_reason: str | None = None,
) -> None:
    """End a locked step, or put it in doubt, whose lost attempt may not be repeated."""
    check_transition(step, status)
    tx.write(
        "fail_lost_step",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        status=status,
        error=_dumps(error),
        deaths=deaths,
        quarantine=quarantine,
        waiting_reason=waiting_reason,
    )


def skip_pending(tx: Transaction, run_id: str) -> Sequence[LockedStep]:
    """Skip what a stopping run had not begun; return those steps."""
    return [locked_step_of(row) for row in tx.rows("skip_pending", run_id=run_id)]


def _open_step_of(row: Mapping[str, Any]) -> OpenStep:
    is_parked = row["status"] == "pending" and row["waiting_reason"] is not None
    return OpenStep(row["step_index"], StepStatus(row["status"]), is_parked, row["waiting_reason"])


def check_transition(step: LockedStep, status: StepStatus) -> None:
    """Raise IllegalTransition where no rule allows a step this change of status."""
    if status not in STEP_TRANSITIONS[step.status]:
        where = f"step {step.step_index} of run {step.run_id!r}"
        raise IllegalTransition(f"{where} cannot go from {step.status.value!r} to {status.value!r}")


def stored(value: Mapping[str, Any] | None) -> str | None:
    """Return a value as it is stored, None for none."""
    return None if value is None else _dumps(value)


def _dumps(value: Any) -> str:
    return payload.dumps(value)
