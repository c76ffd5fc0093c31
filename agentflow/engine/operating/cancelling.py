"""Cancelling a run: what runs is recorded, what has not begun is skipped, what it did is undone if that is asked."""

from __future__ import annotations

from dataclasses import replace

from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Run, RunStatus
from agentflow.engine.advancing import CANCEL, CANCEL_AND_UNDO
from agentflow.engine.operating.order import Order, refused
from agentflow.engine.standing import settle_standing
from agentflow.store import operations, runs
from agentflow.store.database import Transaction


def cancel(tx: Transaction, run_id: str, order: Order, *, compensate: bool = False) -> list[Hint]:
    """Ask a run to stop. It is cancelled once nothing of it runs or is in doubt, and its effects are undone if asked.

    Asking twice is no harm, and `compensate` may be asked for afterwards. A paused run goes on, to its end.
    """
    run, _ = order.lock(tx, run_id)
    hints = [advance_hint(run.run_id, run.queue)]
    wanted = CANCEL_AND_UNDO if compensate else CANCEL
    if order.was_done(tx, run) or (not run.status.is_final and run.stop_requested in {wanted, CANCEL_AND_UNDO}):
        return hints
    if why := _refuse(run):
        raise refused(run.run_id, why)
    if run.stop_requested is None:
        runs.request_stop(tx, run.run_id, wanted)
    else:
        operations.widen_cancellation(tx, run.run_id, wanted)
    order.note(tx, run, "cancelled", compensate=compensate or None)
    if run.status is RunStatus.PAUSED:
        settle_standing(tx, replace(run, pause_requested=False), "cancel_requested")
    return hints


def _refuse(run: Run) -> str | None:
    if run.status.is_final:
        return f"it is {run.status} already; there is nothing to cancel"
    if run.ending is not None:
        return f"it is ending already ({run.ending.reason}), and what it did is being undone"
    if run.stop_requested not in {None, CANCEL}:
        return f"it is being stopped already: {run.stop_requested}"
    return None
