"""Keeping a run's status true to its open steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agentflow.domain.run import Run, RunStatus
from agentflow.engine.notifying import notify_person
from agentflow.policy.status import OpenStep, standing_of
from agentflow.store import runs, steps
from agentflow.store.database import Transaction


def settle_standing(
    tx: Transaction, run: Run, reason: str, step_index: int | None = None, *, known: Iterable[OpenStep] | None = None
) -> Run:
    """Give a locked run the status that its open steps say it has, and return it so; `known` steps are not asked for.

    What becomes of its deadline, where its time stands still, is the database's to say.
    """
    if run.status.is_final:
        return run
    standing = standing_of(
        steps.open_steps(tx, run.run_id) if known is None else known,
        is_pausing=run.pause_requested,
        is_ending=run.ending is not None,
    )
    runs.set_status(tx, run, standing.status, reason, step_index=step_index, waiting=standing.waiting_reason)
    if standing.status is RunStatus.WAITING_HUMAN and run.status is not RunStatus.WAITING_HUMAN:
        notify_person(tx, run, standing.waiting_reason or "")
    if (run.status, run.waiting_reason) == (standing.status, standing.waiting_reason):
        return run
    return replace(run, status=standing.status, waiting_reason=standing.waiting_reason)
