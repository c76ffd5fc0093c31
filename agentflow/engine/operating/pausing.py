"""Pausing a run, and letting it go on: what runs is recorded, and nothing more begins until it is resumed."""

from __future__ import annotations

from dataclasses import replace

from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import RunStatus
from agentflow.engine.operating.order import Order, refused
from agentflow.engine.standing import settle_standing
from agentflow.store import operations, runs
from agentflow.store.database import Transaction


def pause(tx: Transaction, run_id: str, order: Order) -> list[Hint]:
    """Let a run begin nothing more. It is paused once nothing runs; its time stands still then. Twice is no harm."""
    run, _ = order.lock(tx, run_id)
    if run.pause_requested or order.was_done(tx, run):
        return []
    if run.status.is_final:
        raise refused(run.run_id, f"it is {run.status} already; there is nothing to pause")
    if run.stop_requested:
        raise refused(run.run_id, f"it is being stopped: {run.stop_requested}")
    operations.pause(tx, run.run_id)
    order.note(tx, run, "paused")
    settle_standing(tx, replace(run, pause_requested=True), "pause_requested")
    return []


def resume(tx: Transaction, run_id: str, order: Order) -> list[Hint]:
    """Let a paused run go on where it stands, with the time that it had left."""
    run, _ = order.lock(tx, run_id)
    if order.was_done(tx, run):
        return [advance_hint(run.run_id, run.queue)]
    if not run.pause_requested:
        raise refused(run.run_id, f"it is {run.status}, not paused")
    woken = operations.resume(tx, run.run_id)
    order.note(tx, run, "resumed")
    if run.status is RunStatus.PAUSED and not runs.history(tx, run.run_id):
        # It has yet to begin, and may have to wait for its conversation's turn.
        runs.set_status(tx, run, RunStatus.PENDING, "resumed")
    elif run.status is not RunStatus.PENDING:
        settle_standing(tx, replace(run, pause_requested=False), "resumed")
    return [*woken, advance_hint(run.run_id, run.queue)]
