"""Deciding what comes next: asking the declaration, and writing its decision where the history has not moved on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from agentflow.declare.declaration import Declaration
from agentflow.domain import payload
from agentflow.domain.decision import Compensate, Done, EndUndone, Fail, Next, Undo, Wait
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.hint import About, Hint, advance_hint
from agentflow.domain.run import Compensation, Ending, Run, RunStatus
from agentflow.domain.step import OWN_STEPS, Step
from agentflow.engine.alarms import alert_ending
from agentflow.engine.closing import close_run
from agentflow.engine.plan import Plan
from agentflow.engine.planning import plan_steps
from agentflow.engine.skipping import skip_unbegun
from agentflow.engine.standing import settle_standing
from agentflow.engine.undoing import Late, hold_keys, plan_failure, plan_undo
from agentflow.policy.budget import within_budget
from agentflow.policy.fallback import fall_back
from agentflow.store import approvals, runs, steps
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Transaction
from agentflow.store.steps import PlannedStep


def make_plan(declaration: Declaration, run: Run, history: Sequence[Step], late: Late | None = None) -> Plan:
    """Ask the declaration what comes next; of a run that is being undone, the engine knows that itself.

    A declaration sees its own steps alone. Whatever it raises is raised, beside a result or arguments that cannot be
    kept: no later try would mend those. `late` is what steps gave whose records came too late.
    """
    if run.ending is not None:
        return plan_undo(declaration, run, history, run.ending, late or {})
    own = [step for step in history if step.tool_name not in OWN_STEPS]
    decision = within_budget(declaration.decide(run, own), run, own)
    if isinstance(decision, Fail):
        decision = fall_back(run, own, decision)
    match decision:
        case Next():
            try:
                return Plan(run.version, decision, plan_steps(declaration, run, decision.steps, len(history)))
            except (ValueError, PayloadRefused) as error:
                decision = Fail("bad_input", f"the next step cannot be made: {error}")
        case Done():
            try:
                decision = replace(decision, result=payload.sanitise(decision.result).value)
            except PayloadRefused as error:
                decision = Fail("bad_output", f"the result cannot be kept: {error}")
    if isinstance(decision, Fail | Compensate):
        return fail_plan(declaration, run, history, decision, late or {})
    return Plan(run.version, decision)


def fail_plan(
    declaration: Declaration, run: Run, history: Sequence[Step], decision: Fail | Compensate, late: Late
) -> Plan:
    """Return the plan of a run that fails: what it did is undone first, where that is to be."""
    undoing = plan_failure(declaration, run, history, decision, late)
    return undoing or Plan(run.version, Fail(decision.reason, decision.message, decision.step_index))


@dataclass(frozen=True, slots=True)
class Noted:
    """The outcome that a plan was made for, and that is counted with it: whose, and the scratchpad as it leaves it."""

    step_index: int
    scratchpad: Mapping[str, Any]


def apply_plan(tx: Transaction, run: Run, plan: Plan, *, reason: str, after: Noted | None = None) -> list[Hint]:
    """Write a plan on a locked run of its version, and count the outcome that it comes `after`.

    A run ends, or begins to undo what it did, when nothing of it runs or is in doubt.
    """
    hints: list[Hint] = []
    if not plan.alone and not isinstance(plan.decision, Next | Wait):
        hints = skip_unbegun(tx, run.run_id)
        if steps.open_steps(tx, run.run_id):
            # Its coordinator is asked again once that has its outcome.
            plan = Plan(plan.version, Wait())
    hints += _write(tx, run, plan, reason)
    current_step = plan.steps[-1].step_index if plan.steps else run.current_step
    if after is None:
        runs.mark_decided(tx, run.run_id, plan.version, current_step)
    else:
        runs.note_decided(tx, run, after.step_index, after.scratchpad, current_step)
    return hints


def _write(tx: Transaction, run: Run, plan: Plan, reason: str) -> list[Hint]:
    match plan.decision:
        case Next() | Wait():
            hints = _add(tx, run, plan)
            # A run is pending until its first claim; one that needs a person before that has to say so.
            wants_person = bool(plan.steps) and all(step.person for step in plan.steps)
            if run.status is not RunStatus.PENDING or wants_person:
                settle_standing(tx, run, reason, known=plan.steps if plan.alone else None)
            return hints
        case Undo(ending):
            return begin_undo(tx, run, plan, ending)
        case EndUndone(ending, compensation, message):
            return end_undone(tx, run, ending, compensation, message)
        case Done() | Fail():
            return end_run(tx, run, plan.decision)
    assert_never(plan.decision)


def _add(tx: Transaction, run: Run, plan: Plan) -> list[Hint]:
    """Add a plan's steps; those that wait for a person are hinted once they have one."""
    steps.insert(tx, plan.steps)
    approvals.ask(tx, plan.steps)
    held = hold_keys(tx, run, plan.steps)
    hints = [_hint_of(run, each) for each in held if each.after_s is None]
    return hints if len(held) == len(plan.steps) else [*hints, advance_hint(run.run_id, run.queue)]


def _hint_of(run: Run, step: PlannedStep) -> Hint:
    # What clears up after another step enters that one's bulkhead: there is more to know of it.
    about = About(run.agent, step.tool_name, step.bulkhead) if step.subject_tool is None else None
    return Hint(step.task_name, step.queue, step.run_id, step.step_index, about)


def begin_undo(tx: Transaction, run: Run, plan: Plan, ending: Ending) -> list[Hint]:
    """Begin to undo what a locked run did, or ask a person whether that shall be."""
    hints = _add(tx, run, plan)
    _alert_ending(tx, run, ending)
    settle_standing(tx, runs.set_ending(tx, run, ending), ending.reason)
    return hints


def end_undone(
    tx: Transaction, run: Run, ending: Ending, compensation: Compensation | None, message: str
) -> list[Hint]:
    """End a locked run as it was going to before its effects were undone, and page where one could not be."""
    if run.ending is None:
        _alert_ending(tx, run, ending)
    error = {"kind": ending.reason, "message": ending.message, "step_index": ending.step_index}
    if compensation is Compensation.FAILED:
        error["compensation"] = message
        told = f"run {run.run_id} of {run.agent!r} ended {ending.status}, and {message}"
        cause, topic = f"compensation_failed:{run.run_id}", f"compensation_failed:{run.agent}"
        raise_alert(tx, run.tenant, cause, told, run_id=run.run_id, topic=topic)
    told_error = payload.sanitise(error).value
    return close_run(tx, run, ending.status, ending.reason, error=told_error, compensation=compensation)


def _alert_ending(tx: Transaction, run: Run, ending: Ending) -> None:
    if ending.status is RunStatus.FAILED:
        alert_ending(tx, run, Fail(ending.reason, ending.message))


def end_run(tx: Transaction, run: Run, decision: Done | Fail) -> list[Hint]:
    """End a locked run that has nothing open."""
    alert_ending(tx, run, decision)
    match decision:
        case Done(result, outcome, why):
            reason = str(why["kind"]) if why else "done"
            told = payload.sanitise(dict(why)).value if why else None
            return close_run(tx, run, RunStatus.DONE, reason, result=result, outcome=outcome, error=told)
        case Fail(why, message, step_index):
            told = payload.sanitise({"kind": why, "message": message, "step_index": step_index}).value
            return close_run(tx, run, RunStatus.FAILED, why, error=told)
