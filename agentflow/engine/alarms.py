"""Telling a person of outcomes that need one."""

from __future__ import annotations

from agentflow.domain.claim import LockedStep
from agentflow.domain.outcome import AttemptOutcome, Failed, InDoubt
from agentflow.domain.run import Run
from agentflow.store import logs
from agentflow.store.database import Transaction


def alert_step(tx: Transaction, run: Run, step: LockedStep, cause: str, message: str) -> None:
    """Tell a person of a step, once per cause."""
    where = f"{cause}:{run.run_id}:{step.step_index}"
    logs.alert(tx, run.tenant, where, message, run_id=run.run_id, step_index=step.step_index)


def alert_outcome(tx: Transaction, run: Run, step: LockedStep, outcome: AttemptOutcome) -> None:
    """Tell a person of an outcome that is a doubt or a bug; of no other."""
    match outcome:
        case InDoubt(_, message):
            alert_step(tx, run, step, "in_doubt", f"{step.tool_name!r} is in doubt: {message}")
        case Failed("bug", message):
            alert_step(tx, run, step, "bug", f"{step.tool_name!r} raised {message}")
        case _:
            return
