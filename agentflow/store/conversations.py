"""Conversations: whose turn it is."""

from __future__ import annotations

from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Run
from agentflow.store.database import Transaction


def take_turn(tx: Transaction, run: Run) -> None:
    """Give a free turn to the first run in line.

    A transaction of its own: whoever held the run's lock and waited for the conversation's would block the run that
    passes the turn on, which takes them the other way round.
    """
    tx.write("take_turn", tenant=run.tenant, conversation_id=run.conversation_id)


def has_turn(tx: Transaction, run: Run) -> bool:
    """Tell whether it is the run's turn; always so for a run without a conversation."""
    if run.conversation_id is None:
        return True
    row = tx.row("has_turn", tenant=run.tenant, conversation_id=run.conversation_id, run_id=run.run_id)
    return bool(row and row["has_turn"])


def wait_for_turn(tx: Transaction, run: Run) -> bool:
    """Leave a run until the turn is passed to it; False where it has it by now."""
    return tx.run("wait_for_turn", run_id=run.run_id, version=run.version) == 1


def pass_turn(tx: Transaction, run: Run) -> list[Hint]:
    """Give the turn of a run that has ended to the next in line; return that run's hint."""
    if run.conversation_id is None:
        return []
    rows = tx.rows("pass_turn", tenant=run.tenant, conversation_id=run.conversation_id, run_id=run.run_id)
    return [advance_hint(str(row["run_id"]), row["queue"]) for row in rows]
