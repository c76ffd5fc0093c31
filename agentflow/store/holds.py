"""Holds: bulkheads that an operator has stopped. They stand in Postgres, since Redis may be flushed at any moment."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.store.database import Row, Transaction


def hold(tx: Transaction, bulkhead: str, reason: str, held_by: str) -> None:
    """Let no more calls through; calls that have begun go on."""
    tx.run("hold_bulkhead", bulkhead=bulkhead, reason=reason, held_by=held_by)


def release(tx: Transaction, bulkhead: str) -> bool:
    """Let calls through again, the waiting ones first; False where nothing was held."""
    if not tx.run("release_bulkhead", bulkhead=bulkhead):
        return False
    tx.run("hasten_paused", bulkhead=bulkhead)
    return True


def held(tx: Transaction) -> Sequence[Row]:
    """Return what is held: bulkhead, reason, held_by, held_at."""
    return tx.rows("held_bulkheads")
