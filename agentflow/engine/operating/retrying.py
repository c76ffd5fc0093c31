"""Retrying a failed run: it is taken up again at the step that failed, under the same key, with its time anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain.ended import EndedRun
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Compensation, Ending, Run, RunStatus
from agentflow.domain.step import COMPENSATE, Step
from agentflow.engine.operating.ceilings import raised
from agentflow.engine.operating.order import Order, refused
from agentflow.policy.reopening import (
    is_undoing,
    refuse_ceiling,
    refuse_reopening,
    refuse_repeat,
    refuse_step,
    steps_to_reopen,
)
from agentflow.store import approvals, keys, operations, runs
from agentflow.store.database import Transaction

# The turn may change hands while it is looked at; hardly twice.
_TRIES = 5


def retry(
    tx: Transaction,
    run_id: str,
    order: Order,
    *,
    step_index: int | None = None,
    budget: Mapping[str, Any] | None = None,
) -> list[Hint]:
    """Take up a failed run again; `step_index` names the failed step to try, where it is not the one that ended it.

    What its end skipped is to be done again too. `budget` raises ceilings of this run. A run whose undoing failed goes
    on with that. Refused where a repeat could do something twice, after what it did was undone, and once a later run
    of its conversation has begun.
    """
    run, _ = order.lock(tx, run_id)
    if order.was_done(tx, run):
        return [advance_hint(run.run_id, run.queue)]
    if run.status is RunStatus.FAILED and run.compensation != Compensation.FAILED:
        _take_turn_back(tx, run)
    ended = operations.ended(tx, run)
    ceilings = raised(run.budget, budget or {})
    if isinstance(ceilings, str):
        raise refused(run.run_id, ceilings)
    again = _chosen(ended, ceilings, step_index)
    indexes = [step.step_index for step in again]
    order.note(tx, run, "retried", step_index=step_index, steps=indexes, budget=budget, ended=ended.error)
    hints = _reopen(tx, ended, ceilings, again)
    return [*hints, advance_hint(run.run_id, run.queue)]


def _chosen(ended: EndedRun, ceilings: Mapping[str, Any], step_index: int | None) -> Sequence[Step]:
    """Return the steps to try again; raise InterventionRefused where the run may not be taken up again."""
    why = refuse_reopening(ended)
    if why is None and step_index is not None:
        why = refuse_step(ended, step_index)
    if why is None:
        why = refuse_ceiling(ended, ceilings)
    if why is not None:
        raise refused(ended.run.run_id, why)
    again = steps_to_reopen(ended, step_index)
    for step in again:
        if why := refuse_repeat(step):
            raise refused(ended.run.run_id, why)
    return again


def _reopen(tx: Transaction, ended: EndedRun, ceilings: Mapping[str, Any], again: Sequence[Step]) -> list[Hint]:
    run, undoing = ended.run, is_undoing(ended)
    runs.set_status(tx, run, RunStatus.COMPENSATING if undoing else RunStatus.RUNNING, "retried")
    operations.reopen(tx, run, budget=ceilings, ending=_ending_of(ended) if undoing else None)
    hints = [operations.reopen_step(tx, run.run_id, step.step_index) for step in again]
    for step in again:
        if step.tool_name == COMPENSATE and step.subject_index is not None:
            keys.mark(tx, run.run_id, step.subject_index, keys.COMPENSATING, before=["in_doubt"])
    approvals.ask_again(tx, run.run_id)
    return hints


def _ending_of(ended: EndedRun) -> Ending:
    error = ended.error
    return ended.run.ending or Ending(
        RunStatus.FAILED, str(error.get("kind")), str(error.get("message", "")), error.get("step_index")
    )


def _take_turn_back(tx: Transaction, run: Run) -> None:
    """Give a run the turn of its conversation again, unless a later one has begun with it."""
    if run.conversation_id is None:
        return
    for _ in range(_TRIES):
        holder = operations.lock_turn_holder(tx, run)
        if holder is not None and holder["has_begun"]:
            return
        if operations.take_turn_back(tx, run, None if holder is None else str(holder["run_id"])):
            return
    raise refused(run.run_id, f"the turn of its conversation {run.conversation_id!r} keeps changing; try again")
