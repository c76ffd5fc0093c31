"""What the sweeper looks for, and how its turns are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentflow.domain.hint import ADVANCE_TASK
from agentflow.domain.waiting import GATED
from agentflow.store.database import Row, Transaction


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
class LostStep:
    """A claimed step whose attempt is lost, and how that is known."""

    run_id: str
    step_index: int
    attempt: int
    evidence: str
    bulkhead: str | None = None


def take_turn(tx: Transaction, name: str, holder: str, hold_s: float) -> bool:
    """Hold a turn for some seconds; False while another worker holds it."""
    return tx.row("take_turn_row", name=name, holder=holder, hold_s=hold_s) is not None


def hintable(tx: Transaction, *, grace_s: float, most: int) -> Sequence[Hintable]:
    """Return the steps and runs that are due and that no recent hint tells of, the longest forgotten first."""
    due = [
        Hintable(ADVANCE_TASK, row["queue"], str(row["run_id"]), None, quarantined=False, hinted_at=row["hinted_at"])
        for row in tx.rows("hintable_runs", grace_s=grace_s, most=most)
    ]
    return due + [_step_of(row) for row in tx.rows("hintable_steps", grace_s=grace_s, most=most, gated=list(GATED))]


def crowded_bulkheads(tx: Transaction, *, grace_s: float) -> Sequence[str]:
    """Return the bulkheads that steps wait for which the gate has denied, and which are due again."""
    return [row["bulkhead"] for row in tx.rows("crowded_bulkheads", grace_s=grace_s, gated=list(GATED))]


def next_in_line(tx: Transaction, bulkhead: str, *, grace_s: float, most: int) -> Sequence[Hintable]:
    """Return the steps that wait longest for a bulkhead."""
    rows = tx.rows("next_in_line", bulkhead=bulkhead, grace_s=grace_s, most=most, gated=list(GATED))
    return [_step_of(row) for row in rows]


def next_moment_s(tx: Transaction) -> float | None:
    """Return in how many seconds a run ends by its deadline, or a parked step is due; None where that is far."""
    row = tx.row("next_moment")
    return None if row is None or row["in_s"] is None else float(row["in_s"])


def mark_hinted(tx: Transaction, chosen: Sequence[Hintable]) -> None:
    """Note that hints are being published again; the wait before the next grows."""
    tx.write_each("mark_run_hinted", [{"run_id": each.run_id} for each in chosen if each.step_index is None])
    tx.write_each("mark_steps_hinted", [_ids(each) for each in chosen if each.step_index is not None])


def stop_overdue(tx: Transaction, *, most: int) -> int:
    """Ask the runs past their deadline to stop; return how many."""
    return tx.run("stop_overdue", most=most)


def revive_forgotten(tx: Transaction, *, most: int) -> int:
    """Make the runs due that wait for nothing and that nothing would move; return how many."""
    return tx.run("revive_forgotten", most=most)


def lost_steps(tx: Transaction, *, judge: str, dead_s: float, gap_s: float, most: int) -> Sequence[LostStep]:
    """Return the claimed steps that may be lost, as the worker `judge` sees it."""
    rows = tx.rows("lost_steps", judge=judge, dead_s=dead_s, gap_s=gap_s, most=most)
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


def _ids(hintable: Hintable) -> dict[str, Any]:
    return {"run_id": hintable.run_id, "step_index": hintable.step_index}


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
