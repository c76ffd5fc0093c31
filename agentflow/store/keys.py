"""Idempotency records of business keys: taking, reading, resolving, freeing them.

A step whose key is its own (`run:step`) needs no record: its row is one, and nobody else can ask for that key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import KeyRecord, LockedStep
from agentflow.domain.hint import Hint
from agentflow.store.database import Row, Transaction
from agentflow.store.rows import key_of

COMPENSATING = "compensating"
COMPENSATED = "compensated"
_HELD = ("done", "in_flight", "in_doubt")


@dataclass(frozen=True, slots=True)
class Taken:
    """Who holds a key, None where the step has just taken it, and the generation of the key."""

    record: KeyRecord | None
    generation: int


def take(tx: Transaction, step: LockedStep) -> Taken:
    """Take the step's key, or return the locked record of its holder.

    What happened under a key and was undone since is closed: the next use of the key is a new generation of it.
    """
    names = {"tenant": step.tenant, "tool": step.tool_name, "key": step.idempotency_key}
    holder = {"run_id": step.run_id, "step_index": step.step_index, "args_hash": step.args_hash}
    generation = 1
    while True:
        if tx.run("insert_key", generation=generation, **names, **holder):
            if generation != step.key_generation:
                tx.write("set_key_generation", run_id=step.run_id, step_index=step.step_index, generation=generation)
            return Taken(None, generation)
        # Its holder may give it back between the two statements: then nobody holds it yet.
        if row := tx.row("lock_key", **names):
            record = key_of(row)
            if record.status != COMPENSATED:
                return Taken(record, record.generation)
            generation = record.generation + 1


def mark(tx: Transaction, run_id: str, step_index: int, status: str, *, before: Sequence[str]) -> Sequence[Hint]:
    """Change what is known of a step's key where it stood at one of `before`; wake who waits for it."""
    woken: list[Hint] = []
    for row in tx.rows("mark_key", run_id=run_id, step_index=step_index, status=status, before=list(before)):
        woken += _hints(tx.rows("wake_waiters", **row))
    return woken


def hold(tx: Transaction, run_id: str, step_index: int) -> str | None:
    """Keep a step's key from others while what happened under it is undone; return the step that owns it instead.

    A step that failed and may have happened gave its key back: what another did under it since is that one's.
    """
    where = {"run_id": run_id, "step_index": step_index}
    tx.write("retake_key", status=COMPENSATING, **where)
    tx.rows("mark_key", status=COMPENSATING, before=list(_HELD), **where)
    owner = tx.row("key_owner", **where)
    if owner is None or (str(owner["run_id"]), owner["step_index"]) == (run_id, step_index):
        return None
    return f"step {owner['step_index']} of run {owner['run_id']}"


def resolve(tx: Transaction, step: LockedStep, status: str, output: Any = None) -> Sequence[Hint]:
    """Write what the key's holder came to, and wake who waits for it."""
    stored = payload.dumps(output) if status == "done" else None
    tx.write("resolve_key", run_id=step.run_id, step_index=step.step_index, status=status, output=stored)
    return _wake(tx, step)


def free(tx: Transaction, step: LockedStep) -> Sequence[Hint]:
    """Give the key back, since nothing happened under it, and wake who waits for it."""
    tx.write("free_key", run_id=step.run_id, step_index=step.step_index)
    return _wake(tx, step)


def _wake(tx: Transaction, step: LockedStep) -> Sequence[Hint]:
    return _hints(tx.rows("wake_waiters", tenant=step.tenant, tool=step.tool_name, key=step.idempotency_key))


def _hints(rows: Sequence[Row]) -> list[Hint]:
    return [Hint(row["task_name"], row["queue"], str(row["run_id"]), row["step_index"]) for row in rows]
