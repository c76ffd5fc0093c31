"""Resolving a doubt: a person says what became of a call that nobody else can tell of, and its run goes on.

A doubt holds its business key. What happened spends it; what certainly did not happen frees it. A step that is failed
without either being known keeps it, so that no other run makes the call a second time, until a person says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.outcome import Completed
from agentflow.domain.quoting import quoted
from agentflow.domain.run import Run
from agentflow.domain.step import COMPENSATE, StepStatus
from agentflow.engine.operating.order import Order, refused
from agentflow.engine.standing import settle_standing
from agentflow.engine.undoing import end_compensation
from agentflow.engine.verifying import completed_of, confirm, hints_of_repeat
from agentflow.policy.resolution import RESOLVED, Resolution, refuse_resolution, step_in_doubt
from agentflow.store import doubts, keys, operations, runs, steps
from agentflow.store.database import Transaction

_TRIED_AGAIN = "retry_resolved"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave that did happen, as its tool would have returned it: JSON of at most `most_bytes`."""

    value: Any
    most_bytes: int


def resolve(
    tx: Transaction,
    run_id: str,
    order: Order,
    resolution: Resolution,
    *,
    step_index: int | None = None,
    answer: Answer | None = None,
    did_not_happen: bool = False,
) -> list[Hint]:
    """End a doubt on a person's word; without `step_index`, that of the one step in doubt.

    Without an answer, what happened gave what the call itself gave, if that is known, else nothing. `did_not_happen`
    goes with `fail`: the call certainly did not take place, so that its key is free again.
    """
    run, _ = order.lock(tx, run_id)
    if order.was_done(tx, run):
        return [advance_hint(run.run_id, run.queue)]
    step = _find(tx, run, resolution, step_index, did_not_happen=did_not_happen)
    error = step.error or {}
    order.note(
        tx,
        run,
        "resolved",
        step_index=step.step_index,
        resolution=resolution.value,
        tool=step.subject_tool or step.tool_name,
        did_not_happen=did_not_happen or None,
        sent_until=error.get("sent_until"),
    )
    if step.status is StepStatus.ERROR:
        operations.amend_error(tx, step, {**error, "happened": False})
        return list(keys.free(tx, step)) if step.business_key else []
    match resolution:
        case Resolution.HAPPENED:
            hints = _happened(tx, run, step, answer)
        case Resolution.RETRY:
            doubts.try_again(tx, step, error, _TRIED_AGAIN, 0.0)
            hints = hints_of_repeat(step)
        case Resolution.FAIL:
            hints = _fail(tx, run, step, order, did_not_happen=did_not_happen)
        case _:
            assert_never(resolution)
    settle_standing(tx, run, "resolved", step.step_index)
    return [*hints, advance_hint(run.run_id, run.queue)]


def _find(
    tx: Transaction, run: Run, resolution: Resolution, step_index: int | None, *, did_not_happen: bool
) -> LockedStep:
    """Lock the step that is meant; raise InterventionRefused where it cannot be resolved so."""
    history = runs.history(tx, run.run_id)
    found = step_in_doubt(history) if step_index is None else step_index
    if isinstance(found, str):
        raise refused(run.run_id, found)
    step = next((each for each in history if each.step_index == found), None)
    if step is None:
        raise refused(run.run_id, f"it has no step {quoted(found)}")
    if why := refuse_resolution(run, step, resolution, history, did_not_happen=did_not_happen):
        raise refused(run.run_id, why)
    locked = steps.lock(tx, run.run_id, found)
    assert locked is not None
    return locked


def _happened(tx: Transaction, run: Run, step: LockedStep, answer: Answer | None) -> list[Hint]:
    if answer is not None:
        given = _checked(run, answer)
    else:
        given = Completed(None) if step.unconfirmed is None else completed_of(step.unconfirmed)
    hints = confirm(tx, run, step, given)
    if step.tool_name == COMPENSATE:
        hints += end_compensation(tx, run, step, is_undone=True)
    return hints


def _fail(tx: Transaction, run: Run, step: LockedStep, order: Order, *, did_not_happen: bool) -> list[Hint]:
    why = f": {order.reason}" if order.reason else ", and gave no reason"
    happened = False if did_not_happen else None
    error = {"kind": RESOLVED, "message": f"{order.by!r} said that it counts as failed{why}", "happened": happened}
    if sent_until := (step.error or {}).get("sent_until"):
        error["sent_until"] = sent_until
    doubts.settle(tx, step, StepStatus.ERROR, error=error)
    runs.note_settled(tx, run, step.step_index)
    if step.tool_name == COMPENSATE:
        return end_compensation(tx, run, step, is_undone=False)
    return list(keys.free(tx, step)) if did_not_happen and step.business_key else []


def _checked(run: Run, answer: Answer) -> Completed:
    try:
        clean = payload.sanitise(answer.value)
    except PayloadRefused as error:
        raise refused(run.run_id, f"the answer cannot be stored: {error}") from error
    size = len(payload.dumps(clean.value).encode())
    if size > answer.most_bytes:
        raise refused(
            run.run_id, f"the answer is {size} bytes; the limit is {answer.most_bytes} (AGENTFLOW_MAX_INPUT_BYTES)"
        )
    return Completed(clean.value, flags=clean.flags)
