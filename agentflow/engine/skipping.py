"""Skipping what an ending run had not begun."""

from __future__ import annotations

from agentflow.domain.hint import Hint
from agentflow.store import keys, steps
from agentflow.store.database import Transaction


def skip_unbegun(tx: Transaction, run_id: str) -> list[Hint]:
    """Skip a locked run's pending steps; return the hints of the steps that waited for their keys.

    A step that was taken back from a lost worker is pending again and still holds its key.
    """
    skipped = steps.skip_pending(tx, run_id)
    return [hint for step in skipped if step.business_key for hint in keys.free(tx, step)]
