"""Idempotency records of business keys: taking, reading, resolving, freeing them.

A step whose key is its own (`run:step`) needs no record: its row is one, and nobody else can ask for that key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import KeyRecord, LockedStep
from agentflow.domain.hint import Hint
from agentflow.store.database import Transaction
from agentflow.store.rows import key_of


def take(tx: Transaction, step: LockedStep) -> KeyRecord | None:
    """Take the step's key; return None where that went through, else the locked record of its holder."""
    names = {"tenant": step.tenant, "tool": step.tool_name, "key": step.idempotency_key}
    while True:
        holder = {"run_id": step.run_id, "step_index": step.step_index, "args_hash": step.args_hash}
        if tx.run("insert_key", **names, **holder):
            return None
        # Its holder may give it back between the two statements: then nobody holds it yet.
        if row := tx.row("lock_key", **names):
            return key_of(row)


def resolve(tx: Transaction, step: LockedStep, status: str, output: Any = None) -> Sequence[Hint]:
    """Write what the key's holder came to, and wake who waits for it."""
    stored = payload.dumps(output) if status == "done" else None
    tx.run("resolve_key", run_id=step.run_id, step_index=step.step_index, status=status, output=stored)
    return _wake(tx, step)


def free(tx: Transaction, step: LockedStep) -> Sequence[Hint]:
    """Give the key back, since nothing happened under it, and wake who waits for it."""
    tx.run("free_key", run_id=step.run_id, step_index=step.step_index)
    return _wake(tx, step)


def _wake(tx: Transaction, step: LockedStep) -> Sequence[Hint]:
    rows = tx.rows("wake_waiters", tenant=step.tenant, tool=step.tool_name, key=step.idempotency_key)
    return [Hint(row["task_name"], row["queue"], str(row["run_id"]), row["step_index"]) for row in rows]
