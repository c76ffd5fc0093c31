"""Generations of credentials: who refreshes one, and how often that was done. The secrets themselves are not here."""

from __future__ import annotations

from agentflow.store.database import Transaction


def generation(tx: Transaction, name: str) -> int:
    """Return how often a credential has been refreshed."""
    row = tx.row("credential_generation", name=name)
    return int(row["generation"]) if row else 0


def begin_refresh(tx: Transaction, name: str, worker_id: str, *, seen: int, hold_s: float) -> bool:
    """Take on a refresh for `hold_s` seconds; False where it is newer than `seen`, or another worker is at it."""
    return tx.row("begin_refresh", name=name, worker_id=worker_id, seen=seen, hold_s=hold_s) is not None


def end_refresh(tx: Transaction, name: str, worker_id: str, error: str | None = None) -> None:
    """Count a refresh, or note why it failed."""
    tx.write("end_refresh", name=name, worker_id=worker_id, error=error)
