"""Closing a run: its last status, who is told, and whose turn comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.domain.hint import Hint
from agentflow.domain.run import Run, RunStatus
from agentflow.engine.notifying import notify_end
from agentflow.store import approvals, conversations, runs
from agentflow.store.database import Transaction


def close_run(
    tx: Transaction,
    run: Run,
    status: RunStatus,
    reason: str,
    *,
    result: Any = None,
    outcome: str | None = None,
    error: Mapping[str, Any] | None = None,
    compensation: str | None = None,
) -> list[Hint]:
    """End a locked run, close what it asked of people, tell whom it is to tell, and pass its conversation's turn on."""
    runs.finish(tx, run, status, reason, result=result, outcome=outcome, error=error, compensation=compensation)
    approvals.close(tx, run.run_id)
    return [*notify_end(tx, run, status, outcome, reason), *conversations.pass_turn(tx, run)]
