"""Holds: bulkheads that an operator has stopped. They stand in Postgres, since Redis may be flushed at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentflow.domain.waiting import GATED, TOOL_PAUSED, Denial
from agentflow.store import outbox
from agentflow.store.database import Row, Transaction


def hold(tx: Transaction, bulkhead: str, reason: str, held_by: str) -> None:
    """Let no more calls through; calls that have begun go on."""
    tx.write("hold_bulkhead", bulkhead=bulkhead, reason=reason, held_by=held_by)


def release(tx: Transaction, bulkhead: str) -> bool:
    """Let calls through again, the waiting ones first; False where nothing was held."""
    if not tx.run("release_bulkhead", bulkhead=bulkhead):
        return False
    tx.write("hasten_denied", bulkheads=[bulkhead], reason=TOOL_PAUSED)
    return True


def hasten_behind_breaker(tx: Transaction, bulkheads: Sequence[str]) -> int:
    """Make due what waits for an open breaker, whose time may be an hour away; return how much that was."""
    steps = tx.run("hasten_denied", bulkheads=list(bulkheads), reason=Denial.BREAKER_OPEN)
    return steps + outbox.hasten_behind_breaker(tx, bulkheads)


def held(tx: Transaction) -> Sequence[Row]:
    """Return what is held: bulkhead, reason, held_by, held_at."""
    return tx.rows("held_bulkheads")


def waiting(tx: Transaction) -> Mapping[str, int]:
    """Return how many steps wait before each bulkhead that has any."""
    return {row["bulkhead"]: row["steps"] for row in tx.rows("waiting_at_gate", gated=list(GATED))}
