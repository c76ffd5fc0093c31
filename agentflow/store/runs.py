"""Runs in Postgres: reading, locking, changing their status, ending them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.errors import IllegalTransition
from agentflow.domain.run import RUN_TRANSITIONS, Ending, Reserved, Run, RunStatus
from agentflow.domain.step import MODEL, Step
from agentflow.domain.waiting import SETTLING, VERIFYING
from agentflow.store.database import Transaction
from agentflow.store.rows import run_of, step_of

# While a person is waited for, or what a run did is undone, its deadline stands still.
_STANDS_STILL = {RunStatus.WAITING_HUMAN, RunStatus.PAUSED, RunStatus.COMPENSATING}

# Nor does a doubt cost it time that is being verified.
_IN_DOUBT = {VERIFYING, SETTLING}


@dataclass(frozen=True, slots=True)
class Taken:
    """A step of the plan that is claimed as it is added: what it calls, and what is reserved for it."""

    tool_name: str
    reserved: Reserved

    @property
    def is_tool_call(self) -> bool:
        """True for a call of one of the user's tools."""
        return self.tool_name != MODEL


def lock(tx: Transaction, run_id: str) -> tuple[Run, datetime] | None:
    """Lock a run by a statement of its own and return it with the database's time; None where there is no such run.

    Two siblings that locked and read in one statement would each see the other still open, and neither would join.
    """
    row = tx.row("lock_run", run_id=run_id)
    return (run_of(row), row["now"]) if row else None


@dataclass(frozen=True, slots=True)
class Fresh:
    """A run without a step, under its lock, at a time of the database's clock; `held` are the paused bulkheads."""

    run: Run
    now: datetime
    held: Sequence[str]


def lock_fresh(tx: Transaction, run_id: str) -> Fresh | None:
    """Lock a run whose first step may be decided on now, and return it; None for any other.

    One of a conversation has to wait for its turn, and is none.
    """
    row = tx.row("lock_fresh_run", run_id=run_id)
    return Fresh(run_of(row), row["now"], row["held"]) if row else None


def read(tx: Transaction, run_id: str) -> tuple[Run, bool] | None:
    """Return a run, and whether its earliest time has come."""
    row = tx.row("read_run", run_id=run_id)
    return (run_of(row), row["is_due"]) if row else None


def history(tx: Transaction, run_id: str) -> Sequence[Step]:
    """Return a run's steps in order."""
    return [step_of(row) for row in tx.rows("read_steps", run_id=run_id)]


def earlier_history(tx: Transaction, run: Run) -> Sequence[Sequence[Step]]:
    """Return the steps of the runs before this one in its conversation, run by run; of a fork, those of its origin."""
    if run.conversation_id is None and run.forked_from is None:
        return []
    rows = tx.rows("read_earlier_steps", tenant=run.tenant, run_id=run.forked_from or run.run_id)
    by_run: dict[str, list[Step]] = {}
    for step in map(step_of, rows):
        by_run.setdefault(step.run_id, []).append(step)
    return list(by_run.values())


def set_status(
    tx: Transaction,
    run: Run,
    status: RunStatus,
    reason: str,
    *,
    step_index: int | None = None,
    waiting: str | None = None,
) -> None:
    """Move a locked run to an open status and log it; raise IllegalTransition where no rule allows that."""
    if status is run.status and waiting == run.waiting_reason:
        return
    tx.write(
        "set_run_status",
        run_id=run.run_id,
        status=status,
        waiting_reason=waiting,
        stands_still=status in _STANDS_STILL or waiting in _IN_DOUBT,
    )
    if status is not run.status:
        _log_transition(tx, run, status, reason, step_index)


def finish(
    tx: Transaction,
    run: Run,
    status: RunStatus,
    reason: str,
    *,
    result: Any = None,
    outcome: str | None = None,
    error: Mapping[str, Any] | None = None,
    compensation: str | None = None,
) -> None:
    """End a locked run and log it; raise IllegalTransition where it has ended already."""
    tx.write(
        "finish_run",
        run_id=run.run_id,
        status=status,
        result=None if status is not RunStatus.DONE else payload.dumps(result),
        outcome=outcome,
        error=None if error is None else payload.dumps(error),
        compensation=compensation,
    )
    _log_transition(tx, run, status, reason, None)


def set_ending(tx: Transaction, run: Run, ending: Ending) -> Run:
    """Note how a locked run will end once what it did is undone; return the run as it is now."""
    tx.write("set_ending", run_id=run.run_id, ending=payload.dumps(asdict(ending)))
    return replace(run, ending=ending)


def note_inserted(tx: Transaction, run_id: str, step_index: int) -> None:
    """Count a step that the engine has added to a locked run."""
    tx.write("note_inserted", run_id=run_id, step_index=step_index)


def note_outcome(tx: Transaction, run: Run, step_index: int, scratchpad: Mapping[str, Any]) -> None:
    """Count an outcome on the run and make its next decision due."""
    tx.write(
        "note_outcome",
        run_id=run.run_id,
        step_index=step_index,
        scratchpad=payload.dumps(dict(scratchpad)),
    )


def note_decided(
    tx: Transaction,
    run: Run,
    step_index: int,
    scratchpad: Mapping[str, Any],
    current_step: int,
    taken: Taken | None = None,
) -> None:
    """Count an outcome on a locked run together with the decision on it, and with the step `taken` at once for it."""
    reserved = taken.reserved if taken else Reserved()
    tx.write(
        "note_decided",
        run_id=run.run_id,
        step_index=step_index,
        scratchpad=payload.dumps(dict(scratchpad)),
        current_step=current_step,
        attempts=int(taken is not None),
        tool_calls=int(taken is not None and taken.is_tool_call),
        tokens=reserved.tokens,
        cost_usd=reserved.cost_usd,
    )


def note_begun(tx: Transaction, run: Run, step_index: int, deadline_at: datetime | None, taken: Taken) -> None:
    """Count the first decision on a locked, pending run, with its step `taken` at once for it; the run is under way."""
    tx.write(
        "note_begun",
        run_id=run.run_id,
        step_index=step_index,
        deadline_at=deadline_at,
        tool_calls=int(taken.is_tool_call),
        tokens=taken.reserved.tokens,
        cost_usd=taken.reserved.cost_usd,
    )
    _log_transition(tx, run, RunStatus.RUNNING, "claimed", step_index)


def settle(tx: Transaction, step: LockedStep, *, tokens: int, cost_usd: Decimal) -> None:
    """Charge a locked run for a step's call, and end what was reserved for it."""
    if step.reserved != Reserved() or tokens or cost_usd:
        tx.write("settle_reservation", run_id=step.run_id, step_index=step.step_index, tokens=tokens, cost_usd=cost_usd)


def mark_decided(tx: Transaction, run_id: str, version: int, current_step: int) -> None:
    """Note on a locked run that its history up to `version`, which is the run's own, has been decided on."""
    tx.write("mark_decided", run_id=run_id, version=version, current_step=current_step)


def postpone(tx: Transaction, run_id: str, after_s: float) -> None:
    """Make a run's next decision due in `after_s` seconds."""
    tx.write("postpone_advance", run_id=run_id, after_s=after_s)


def start_clock(tx: Transaction, run_id: str) -> None:
    """Have a run's time begin, if it has not: with its first claim it would begin by itself."""
    tx.write("start_clock", run_id=run_id)


def request_stop(tx: Transaction, run_id: str, reason: str) -> None:
    """Ask a run to stop; what runs is recorded first, then the run ends."""
    tx.write("request_stop", run_id=run_id, reason=reason)


def note_settled(tx: Transaction, run: Run, step_index: int) -> None:
    """Count a step that was settled without a call, and make the run's next decision due."""
    tx.write("note_settled", run_id=run.run_id, step_index=step_index)


def _log_transition(tx: Transaction, run: Run, status: RunStatus, reason: str, step_index: int | None) -> None:
    if status not in RUN_TRANSITIONS[run.status]:
        old, new = run.status.value, status.value
        raise IllegalTransition(f"run {run.run_id!r} cannot go from {old!r} to {new!r} ({reason})")
    tx.write(
        "log_transition",
        tenant=run.tenant,
        run_id=run.run_id,
        step_index=step_index,
        old=run.status,
        new=status,
        reason=reason,
    )
