"""What the sweeper looks for in the outbox: kinds whose hint is lost, and messages whose relay is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentflow.domain.delivery import DeliveryStatus, LostDelivery
from agentflow.domain.step import Effect
from agentflow.store.database import Row, Transaction
from agentflow.store.deliveries import attempt_of


def due_kinds(tx: Transaction, *, grace_s: float) -> Mapping[str, float]:
    """Return the kinds with messages that have been due for longer than a grace, and for how long the oldest has."""
    return {row["kind"]: row["due_for_s"] for row in tx.rows("due_kinds", grace_s=grace_s)}


def lost(tx: Transaction, *, judge: str, dead_s: float, gap_s: float, most: int) -> Sequence[LostDelivery]:
    """Return the claimed messages that may be lost, as the worker `judge` sees it."""
    return [_lost(row) for row in tx.rows("lost_deliveries", judge=judge, dead_s=dead_s, gap_s=gap_s, most=most)]


def by_process(tx: Transaction, worker_id: str) -> Sequence[tuple[LostDelivery, int]]:
    """Return a worker's claimed messages with their processes' ids, as they would be lost if those were dead."""
    return [(_lost(row), row["worker_pid"]) for row in tx.rows("deliveries_by_process", worker_id=worker_id)]


def _lost(row: Row) -> LostDelivery:
    return LostDelivery(
        attempt_of(row, row["attempt"], str(row["claim_token"])),
        DeliveryStatus(row["status"]),
        Effect(row["effect"]),
        row["lease_until"],
        row["evidence"],
    )
