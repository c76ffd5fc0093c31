"""What operators do to runs, in Postgres: pausing, reopening and forking them, and what these have to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.ended import EndedRun, EndedStep
from agentflow.domain.hint import Hint
from agentflow.domain.run import Ending, Run
from agentflow.domain.waiting import RUN_PAUSED
from agentflow.store import steps
from agentflow.store.database import Row, Transaction
from agentflow.store.rows import step_of


def was_done(tx: Transaction, run_id: str, order_id: str) -> bool:
    """Tell, under the run's lock, whether an order was carried out and only the answer of its commit was lost."""
    row = tx.row("done_by_order", run_id=run_id, order_id=order_id)
    return bool(row and row["was_done"])


def amend_error(tx: Transaction, step: LockedStep, error: Mapping[str, Any]) -> None:
    """Write what is known by now of how a locked step failed."""
    tx.write("amend_error", run_id=step.run_id, step_index=step.step_index, error=payload.dumps(dict(error)))


def widen_cancellation(tx: Transaction, run_id: str, reason: str) -> None:
    """Change what a locked run was asked to stop for."""
    tx.write("widen_cancellation", run_id=run_id, reason=reason)


def pause(tx: Transaction, run_id: str) -> None:
    """Let a locked run begin nothing more."""
    tx.write("pause_run", run_id=run_id)


def resume(tx: Transaction, run_id: str) -> Sequence[Hint]:
    """Let a locked run go on; return the hints of the steps that waited for that."""
    tx.write("resume_run", run_id=run_id)
    return steps.wake(tx, "wake_paused", run_id=run_id, reason=RUN_PAUSED)


def ended(tx: Transaction, run: Run) -> EndedRun:
    """Return how a locked run ended."""
    row = tx.row("read_ended_run", run_id=run.run_id)
    assert row is not None
    found = tx.rows("read_ended_steps", run_id=run.run_id)
    past = [EndedStep(step_of(each), each["created_at"], each["finished_at"]) for each in found]
    return EndedRun(run, row["error"] or {}, past, row["has_successor"])


def reopen(tx: Transaction, run: Run, *, budget: Mapping[str, Any], ending: Ending | None) -> None:
    """Take up a locked run again whose status has been set; `ending` of one whose undoing goes on."""
    tx.write(
        "reopen_run",
        run_id=run.run_id,
        budget=payload.dumps(dict(budget)),
        ending=None if ending is None else payload.dumps(asdict(ending)),
    )


def reopen_step(tx: Transaction, run_id: str, step_index: int) -> Hint:
    """Let a step of a locked run be tried again; return its hint."""
    row = tx.row("reopen_step", run_id=run_id, step_index=step_index)
    assert row is not None
    return Hint(row["task_name"], row["queue"], run_id, step_index)


def lock_turn_holder(tx: Transaction, run: Run) -> Row | None:
    """Lock the other open run that has the turn of a locked run's conversation: run_id, has_begun; None without one."""
    return tx.row("lock_turn_holder", tenant=run.tenant, conversation_id=run.conversation_id, run_id=run.run_id)


def take_turn_back(tx: Transaction, run: Run, holder: str | None) -> bool:
    """Give the turn of a run's conversation to it, from `holder` or nobody; False where it has changed hands."""
    where = {"tenant": run.tenant, "conversation_id": run.conversation_id}
    return tx.run("take_turn_back", run_id=run.run_id, holder=holder, **where) == 1


def agent_kind(tx: Transaction, name: str) -> str | None:
    """Return what kind of agent was registered last under a name; None where none was."""
    row = tx.row("agent_by_name", name=name)
    return None if row is None else str(row["kind"])


def fork(
    tx: Transaction,
    run: Run,
    fork_id: str,
    from_step: int,
    *,
    scratchpad: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> str:
    """Copy a locked run and its steps before `from_step`; return the queue of the copy's decisions."""
    row = tx.row(
        "fork_run",
        run_id=run.run_id,
        fork_id=fork_id,
        from_step=from_step,
        scratchpad=payload.dumps(dict(scratchpad)),
        overrides=payload.dumps(dict(overrides)) if overrides else None,
    )
    assert row is not None
    tx.write("copy_steps", run_id=run.run_id, fork_id=fork_id, from_step=from_step)
    return str(row["queue"])
