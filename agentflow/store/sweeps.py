"""What the sweeper looks for, and how its turns are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentflow.domain.hint import ADVANCE_TASK
from agentflow.domain.waiting import GATED
from agentflow.store.database import Row, Transaction
from agentflow.store.workers import SWEEP, Judge

EVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Hintable:
    """A step, or a run's decision (`step_index` None), that is due; when it was hinted last, if ever."""

    task_name: str
    queue: str
    run_id: str
    step_index: int | None
    quarantined: bool
    hinted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a sweeper sees at a glance: what there is to do, and in how many seconds there is more, if that is near.

    `crowded` are the bulkheads that steps wait for which the gate has denied, and which are due again.
    """

    has_lost: bool
    has_overdue: bool
    has_due: bool
    has_messages: bool
    has_dead: bool
    crowded: Sequence[str]
    next_in_s: float | None


@dataclass(frozen=True, slots=True)
class LostStep:
    """A claimed step whose attempt is lost, and how that is known."""

    run_id: str
    step_index: int
    attempt: int
    evidence: str
    bulkhead: str | None = None


def look_around(
    tx: Transaction, judge: Judge, *, turn_s: float, grace_s: float, outbox_grace_s: float, within_s: float
) -> Look | None:
    """Hold the sweeper's turn for some seconds and return what there is to do; None while another worker holds it.

    Steps that wait for a time count where it has come `within_s`, as in `hintable`.
    """
    row = tx.row(
        "look_around",
        name=SWEEP,
        holder=judge.worker_id,
        hold_s=turn_s,
        dead_s=judge.dead_s,
        grace_s=grace_s,
        outbox_grace_s=outbox_grace_s,
        within_s=within_s,
        gated=list(GATED),
    )
    assert row is not None
    if not row["has_turn"]:
        return None
    return Look(
        has_lost=bool(row["has_lost"]),
        has_overdue=bool(row["has_overdue"]),
        has_due=bool(row["has_due"]),
        has_messages=bool(row["has_messages"]),
        has_dead=row["has_dead"],
        crowded=row["crowded"],
        next_in_s=row["next_in_s"],
    )


def hintable(tx: Transaction, *, grace_s: float, most: int, within_s: float = EVER_S) -> Sequence[Hintable]:
    """Return the steps and runs that are due and that no recent hint tells of, the longest forgotten first.

    Of the steps that wait for a time, those whose time came within so many seconds.
    """
    due = [
        Hintable(ADVANCE_TASK, row["queue"], str(row["run_id"]), None, quarantined=False, hinted_at=row["hinted_at"])
        for row in tx.rows("hintable_runs", grace_s=grace_s, most=most)
    ]
    rows = tx.rows("hintable_steps", grace_s=grace_s, most=most, within_s=within_s, gated=list(GATED))
    return due + [_step_of(row) for row in rows]


def mark_hinted(tx: Transaction, chosen: Sequence[Hintable]) -> Sequence[Hintable]:
    """Note that hints are being published again; the wait before the next grows. Return those that nobody is at."""
    runs = [each.run_id for each in chosen if each.step_index is None]
    steps = [each for each in chosen if each.step_index is not None]
    marked = _mark_runs(tx, runs) | _mark_steps(tx, steps)
    return [each for each in chosen if (each.run_id, each.step_index) in marked]


def _mark_runs(tx: Transaction, run_ids: Sequence[str]) -> set[tuple[str, int | None]]:
    if not run_ids:
        return set()
    return {(str(row["run_id"]), None) for row in tx.rows("mark_runs_hinted", run_ids=run_ids)}


def _mark_steps(tx: Transaction, steps: Sequence[Hintable]) -> set[tuple[str, int | None]]:
    if not steps:
        return set()
    rows = tx.rows(
        "mark_steps_hinted",
        run_ids=[each.run_id for each in steps],
        step_indexes=[each.step_index for each in steps],
    )
    return {(str(row["run_id"]), row["step_index"]) for row in rows}


def hint_next_in_line(tx: Transaction, rooms: Mapping[str, int], *, grace_s: float) -> Sequence[Hintable]:
    """Mark the steps as hinted that wait longest for each bulkhead, as many as it has room for, and return them."""
    rows = tx.rows(
        "hint_next_in_line",
        bulkheads=list(rooms),
        rooms=list(rooms.values()),
        most=max(rooms.values()),
        grace_s=grace_s,
        gated=list(GATED),
    )
    return [_step_of(row) for row in rows]


def stop_overdue(tx: Transaction, *, most: int) -> int:
    """Ask the runs past their deadline to stop; return how many."""
    return tx.run("stop_overdue", most=most)


def revive_forgotten(tx: Transaction, *, most: int) -> int:
    """Make the runs due that wait for nothing and that nothing would move; return how many."""
    return tx.run("revive_forgotten", most=most)


def lost_steps(tx: Transaction, judge: Judge, *, most: int) -> Sequence[LostStep]:
    """Return the claimed steps that may be lost, as a worker sees it."""
    rows = tx.rows("lost_steps", judge=judge.worker_id, dead_s=judge.dead_s, gap_s=judge.gap_s, most=most)
    return [
        LostStep(str(row["run_id"]), row["step_index"], row["attempt"], row["evidence"], row["bulkhead"])
        for row in rows
    ]


def steps_by_process(tx: Transaction, worker_id: str) -> Sequence[tuple[LostStep, int]]:
    """Return a worker's claimed steps, each with its process's id, as they would be lost if that process were dead."""
    rows = tx.rows("steps_by_process", worker_id=worker_id)
    return [
        (
            LostStep(str(row["run_id"]), row["step_index"], row["attempt"], "child_dead", row["bulkhead"]),
            row["worker_pid"],
        )
        for row in rows
    ]


def _step_of(row: Row) -> Hintable:
    return Hintable(
        row["task_name"], row["queue"], str(row["run_id"]), row["step_index"], row["quarantined"], row["hinted_at"]
    )


def hinted_at(tx: Transaction, run_id: str, step_index: int | None) -> datetime | None:
    """Return when a step, or a run's decision, was hinted last."""
    if step_index is None:
        row = tx.row("run_hinted_at", run_id=run_id)
    else:
        row = tx.row("step_hinted_at", run_id=run_id, step_index=step_index)
    return row["hinted_at"] if row else None


def queue_of(tx: Transaction, run_id: str, step_index: int) -> str:
    """Return a step's own queue."""
    row = tx.row("queue_of_step", run_id=run_id, step_index=step_index)
    return str(row["queue"]) if row else ""
