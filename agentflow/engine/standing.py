"""Keeping a run's status true to its open steps."""

from __future__ import annotations

from agentflow.domain.run import Run, RunStatus
from agentflow.policy.status import standing_of
from agentflow.store import runs, steps
from agentflow.store.database import Transaction

_KEPT = {RunStatus.PAUSED, RunStatus.COMPENSATING}


def settle_standing(tx: Transaction, run: Run, reason: str, step_index: int | None = None) -> None:
    """Give a locked run the status that its open steps say it has."""
    if run.status.is_final or run.status in _KEPT:
        return
    standing = standing_of(steps.open_steps(tx, run.run_id))
    runs.set_status(tx, run, standing.status, reason, step_index=step_index, waiting=standing.waiting_reason)
