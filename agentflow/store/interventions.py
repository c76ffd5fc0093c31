"""Interventions in Postgres: what people did to runs, who they were, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain import payload
from agentflow.store.database import Row, Transaction


def note(
    tx: Transaction,
    *,
    tenant: str,
    run_id: str,
    act: str,
    by: str,
    step_index: int | None = None,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down what a person did, in the transaction that does it."""
    tx.write(
        "insert_intervention",
        tenant=tenant,
        run_id=run_id,
        step_index=step_index,
        act=act,
        done_by=by,
        reason=reason,
        details=None if details is None else payload.dumps(payload.sanitise(details).value),
    )


def of_run(tx: Transaction, run_id: str) -> Sequence[Row]:
    """Return what people did to a run, the oldest first: step_index, act, done_by, reason, details, at."""
    return tx.rows("interventions_of_run", run_id=run_id)
