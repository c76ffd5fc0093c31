"""Deciding what comes next: asking the declaration, and writing its decision where the history has not moved on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agentflow.declare.declaration import Declaration
from agentflow.domain import payload
from agentflow.domain.decision import Decision, Done, Fail, Next, Wait
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.hint import Hint
from agentflow.domain.run import Run, RunStatus
from agentflow.domain.step import Step
from agentflow.engine.alarms import alert_ending
from agentflow.engine.planning import plan_steps
from agentflow.engine.skipping import skip_unbegun
from agentflow.engine.standing import settle_standing
from agentflow.policy.budget import within_budget
from agentflow.policy.fallback import fall_back
from agentflow.store import conversations, runs, steps
from agentflow.store.database import Transaction
from agentflow.store.steps import PlannedStep


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision ready to be written, and the version of the run that it was made on."""

    version: int
    decision: Decision
    steps: list[PlannedStep] = field(default_factory=list)


def make_plan(declaration: Declaration, run: Run, history: Sequence[Step]) -> Plan:
    """Ask the declaration what comes next.

    Whatever it raises is raised, beside a result or arguments that cannot be kept: no later try would mend those.
    """
    decision = within_budget(declaration.decide(run, history), run, history)
    if isinstance(decision, Fail):
        decision = fall_back(run, history, decision)
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
    return Plan(run.version, decision)


def apply_plan(tx: Transaction, run: Run, plan: Plan, *, reason: str, noted: int = 0) -> list[Hint]:
    """Write a plan on a locked run, whose version has gone up by `noted` since the plan was compared with it."""
    hints: list[Hint] = []
    current_step = run.current_step
    match plan.decision:
        case Next():
            steps.insert(tx, plan.steps)
            hints = [Hint(s.task_name, s.queue, s.run_id, s.step_index) for s in plan.steps]
            current_step = plan.steps[-1].step_index
            if run.status is not RunStatus.PENDING:
                settle_standing(tx, run, reason)
        case Wait():
            if run.status is not RunStatus.PENDING:
                settle_standing(tx, run, reason)
        case Done() | Fail():
            hints = end_run(tx, run, plan.decision, reason)
    runs.mark_decided(tx, run.run_id, plan.version + noted, current_step)
    return hints


def end_run(tx: Transaction, run: Run, decision: Done | Fail, reason: str) -> list[Hint]:
    """End a run that has nothing running or in doubt; else its coordinator is asked again once that has its outcome."""
    woken = skip_unbegun(tx, run.run_id)
    if steps.open_steps(tx, run.run_id):
        settle_standing(tx, run, reason)
        return woken
    alert_ending(tx, run, decision)
    match decision:
        case Done(result, outcome, why):
            reason = str(why["kind"]) if why else "done"
            told = payload.sanitise(dict(why)).value if why else None
            runs.finish(tx, run, RunStatus.DONE, reason, result=result, outcome=outcome, error=told)
        case Fail(why, message, step_index):
            told = payload.sanitise({"kind": why, "message": message, "step_index": step_index}).value
            runs.finish(tx, run, RunStatus.FAILED, why, error=told)
    return [*woken, *conversations.pass_turn(tx, run)]
