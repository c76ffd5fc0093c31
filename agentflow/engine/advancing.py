"""Advancing a run by what is no step: its start, its stop, a decision that is still due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from agentflow.declare.declaration import Declaration
from agentflow.domain.decision import Done, EndUndone, Fail
from agentflow.domain.hint import Hint
from agentflow.domain.run import Ending, OnFailure, Run, RunStatus
from agentflow.domain.step import Effect, Step
from agentflow.engine.closing import close_run
from agentflow.engine.deciding import apply_plan, fail_plan, make_plan
from agentflow.engine.late import late_outputs
from agentflow.engine.plan import Plan
from agentflow.engine.runtime import Runtime
from agentflow.engine.skipping import skip_unbegun
from agentflow.engine.undoing import plan_cancellation
from agentflow.policy.fallback import fall_back
from agentflow.store import conversations, doubts, runs, steps
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Transaction

log = structlog.get_logger("agentflow.coordinator")

# What a person may ask of a run: that it stops, and that what it did is undone too.
CANCEL = "cancel"
CANCEL_AND_UNDO = "cancel_compensate"

# A decision that another one overtook is made again at once, this often; then the sweeper comes back to the run.
_TRIES = 8
_UNDECIDED_AFTER_S = 15.0


@dataclass(frozen=True, slots=True)
class Advanced:
    """What came of it: a word for the log, and the hints to publish."""

    answer: str
    hints: list[Hint] = field(default_factory=list)


def advance_run(runtime: Runtime, run_id: str) -> Advanced:
    """Decide what comes next in a run and write it. Safe to call at any time, any number of times, from anywhere."""
    for _ in range(_TRIES):
        if (advanced := _advance_once(runtime, run_id)) is not None:
            return advanced
    return Advanced("overtaken")


def _advance_once(runtime: Runtime, run_id: str) -> Advanced | None:
    found = runtime.database.atomically(lambda tx: _read(tx, run_id))
    if found is None:
        return Advanced("no_such_run")
    run, is_due, history = found
    if run.status.is_final:
        return Advanced("final")
    if run.stop_requested and run.ending is None:
        return _stop_run(runtime, run)
    if run.pause_requested or not is_due:
        return Advanced("not_due")
    if not history and run.conversation_id is not None and not _has_turn(runtime, run):
        return Advanced("conversation_turn")
    plan = _plan(runtime, run, history)
    if plan is None:
        return Advanced("undecided")
    return runtime.database.atomically(lambda tx: _write(tx, run_id, plan))


def _read(tx: Transaction, run_id: str) -> tuple[Run, bool, Sequence[Step]] | None:
    # The run before its steps: what is recorded in between makes the run's version too old, never the history.
    found = runs.read(tx, run_id)
    return (*found, runs.history(tx, run_id)) if found else None


def _plan(runtime: Runtime, run: Run, history: Sequence[Step]) -> Plan | None:
    """Return what comes next. What raises leaves the run as it is, due again later, and a person is told."""
    declaration = runtime.registry.agents.get(run.agent)
    if declaration is None:
        _leave(runtime, run, "unknown_agent", f"no agent {run.agent!r} in this worker's modules")
        return None
    try:
        return make_plan(declaration, run, history, late_outputs(runtime, run, history))
    except Exception as error:
        log.exception("decide_raised", run_id=run.run_id, agent=run.agent)
        if not history:
            message = f"the first step of {run.agent!r} cannot be made: {type(error).__name__}: {error}"
            return Plan(run.version, Fail("bug", message))
        _leave(runtime, run, "decide_raised", f"{type(error).__name__}: {error}")
        return None


def _leave(runtime: Runtime, run: Run, cause: str, message: str) -> None:
    def body(tx: Transaction) -> None:
        runs.postpone(tx, run.run_id, _UNDECIDED_AFTER_S)
        told = f"run {run.run_id} waits for a decision: {message}"
        raise_alert(tx, run.tenant, f"{cause}:{run.run_id}", told, run_id=run.run_id)

    runtime.database.atomically(body)


def _has_turn(runtime: Runtime, run: Run) -> bool:
    def body(tx: Transaction) -> bool:
        return conversations.has_turn(tx, run) or not conversations.wait_for_turn(tx, run)

    runtime.database.atomically(lambda tx: conversations.take_turn(tx, run))
    return runtime.database.atomically(body)


def _write(tx: Transaction, run_id: str, plan: Plan) -> Advanced | None:
    locked = runs.lock(tx, run_id)
    if locked is None or locked[0].status.is_final:
        return Advanced("final")
    run, _ = locked
    if run.version != plan.version or (run.stop_requested and run.ending is None):
        return None
    return Advanced(type(plan.decision).__name__.lower(), apply_plan(tx, run, plan, reason="advanced"))


def _stop_run(runtime: Runtime, run: Run) -> Advanced | None:
    declaration = runtime.registry.agents.get(run.agent)
    advanced = runtime.database.atomically(lambda tx: _stop(tx, run.run_id, declaration))
    if advanced is None:
        _leave(runtime, run, "unknown_agent", f"no agent {run.agent!r} in this worker's modules, to undo what it did")
        return Advanced("undecided")
    return advanced


def _stop(tx: Transaction, run_id: str, declaration: Declaration | None) -> Advanced | None:
    """End a run that was asked to stop: skip what has not begun, wait for what runs or is in doubt, undo, then finish.

    None where what it did may have to be undone, and this worker has no declaration that says how.
    """
    locked = runs.lock(tx, run_id)
    if locked is None or locked[0].status.is_final:
        return Advanced("final")
    run, _ = locked
    if run.ending is not None:
        # Another was quicker, and has asked a person, or begun to undo what it did.
        return Advanced("overtaken")
    reason = run.stop_requested or "stopped"
    woken = skip_unbegun(tx, run_id)
    still_open = steps.open_steps(tx, run_id)
    if still_open:
        runs.mark_decided(tx, run_id, run.version, run.current_step)
        return Advanced("stopping", woken)
    if reason == CANCEL:
        return Advanced("stopped", [*woken, *close_run(tx, run, RunStatus.CANCELLED, reason)])
    plan = _plan_end(declaration, run, reason, runs.history(tx, run_id), doubts.late_outputs(tx, run_id))
    return None if plan is None else Advanced("stopped", [*woken, *apply_plan(tx, run, plan, reason=reason)])


def _plan_end(
    declaration: Declaration | None, run: Run, reason: str, history: Sequence[Step], late: Mapping[int, Any]
) -> Plan | None:
    """Return how a run that was stopped ends; None where only its declaration could say how what it did is undone."""
    cancelled = Ending(RunStatus.CANCELLED, CANCEL)
    decision = fall_back(run, history, Fail(reason, _why(reason, run)))
    undoes = reason == CANCEL_AND_UNDO or (isinstance(decision, Fail) and run.on_failure != OnFailure.KEEP)
    if undoes and declaration is None and any(_has_effect(step) for step in history):
        return None
    if reason == CANCEL_AND_UNDO:
        if declaration is None:
            return Plan(run.version, EndUndone(cancelled, None))
        return plan_cancellation(declaration, run, history, cancelled, late)
    if isinstance(decision, Done) or declaration is None:
        return Plan(run.version, decision)
    return fail_plan(declaration, run, history, decision, late)


def _has_effect(step: Step) -> bool:
    return step.effect is not Effect.READ and step.attempt > 0


def _why(reason: str, run: Run) -> str:
    if reason == "deadline":
        return f"the run did not end within its {run.budget.get('time_s')} seconds"
    if reason == "quota":
        return "a provider or a tool has no credit left; its breaker is held open"
    if reason == "budget_unpriced_model":
        return "the model has no price: set AGENTFLOW_PRICES, or Budget(cost_usd=None)"
    ceiling = reason.removeprefix("budget_")
    return f"the run's budget of {run.budget.get(ceiling)} {ceiling} is used up, or would be by its next step"
