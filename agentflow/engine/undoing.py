"""Undoing what a run did, before it ends: one compensation after the other, the newest effect first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from agentflow.declare.declaration import Declaration
from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.decision import Compensate, EndUndone, Fail, Next, Undo, Wait
from agentflow.domain.hint import Hint
from agentflow.domain.run import Ending, Run
from agentflow.domain.step import APPROVAL, COMPENSATE, Effect, Step, StepStatus
from agentflow.domain.waiting import Person
from agentflow.engine.plan import Plan
from agentflow.policy.undoing import AskFirst, Effected, NotYet, Undone, UndoNext, decide_undo, effects_of, ending_of
from agentflow.store import keys, runs, steps
from agentflow.store.database import Transaction
from agentflow.store.steps import PlannedStep

# How long a person may take to say whether what a run did shall be undone.
ASK_S = 86_400.0
APPROVAL_TASK = f"step.{APPROVAL}"

Late = Mapping[int, Any]


def plan_failure(
    declaration: Declaration, run: Run, history: Sequence[Step], decision: Fail | Compensate, late: Late
) -> Plan | None:
    """Return how a run that fails begins to be undone; None where it just ends."""
    effects = effects_of(history, takes_none(declaration), late)
    ending = ending_of(run, replace(decision, message=payload.sanitise(decision.message).value), effects)
    return None if ending is None else plan_undo(declaration, run, history, ending, late)


def plan_cancellation(declaration: Declaration, run: Run, history: Sequence[Step], ending: Ending, late: Late) -> Plan:
    """Return how a run that is cancelled with undoing goes on; one that did nothing to undo just ends."""
    if not effects_of(history, takes_none(declaration), late):
        return Plan(run.version, EndUndone(ending, None))
    return plan_undo(declaration, run, history, ending, late)


def plan_undo(declaration: Declaration, run: Run, history: Sequence[Step], ending: Ending, late: Late) -> Plan:
    """Return what comes next in a run that ends so."""
    compensators = takes_none(declaration)
    effects = effects_of(history, compensators, late)
    decided = decide_undo(ending, history if run.ending else _begun(history), effects, compensators)
    match decided:
        case NotYet():
            return Plan(run.version, Wait())
        case AskFirst():
            planned = [_plan_question(declaration, run, ending, effects, len(history))]
            ending = replace(ending, asked_index=len(history))
        case UndoNext(effected):
            planned = [_plan_compensation(declaration, run, effected, len(history))]
        case Undone(compensation, message, _):
            return Plan(run.version, EndUndone(ending, compensation, message))
        case _:
            assert_never(decided)
    return Plan(run.version, Next([]) if run.ending else Undo(ending), planned)


def end_compensation(tx: Transaction, run: Run, step: LockedStep, *, is_undone: bool) -> list[Hint]:
    """Close the key of an effect that is undone; one that could not be undone keeps it until a person resolves that."""
    assert step.subject_index is not None
    status = keys.COMPENSATED if is_undone else "in_doubt"
    return list(keys.mark(tx, run.run_id, step.subject_index, status, before=[keys.COMPENSATING]))


def hold_keys(tx: Transaction, run: Run, planned: Sequence[PlannedStep]) -> list[PlannedStep]:
    """Let nobody take the answer of an effect that is being undone for its own; return what is to be undone.

    A compensation that has just been added to a locked run is skipped where its effect belongs to another by now.
    """
    held = []
    for step in planned:
        owner = None
        if step.tool_name == COMPENSATE and step.subject_index is not None:
            owner = keys.hold(tx, step.run_id, step.subject_index)
        if owner is None:
            held.append(step)
        else:
            _leave_to_owner(tx, run, step, owner)
    return held


def _leave_to_owner(tx: Transaction, run: Run, planned: PlannedStep, owner: str) -> None:
    step = steps.lock(tx, run.run_id, planned.step_index)
    assert step is not None
    message = f"what {planned.subject_tool!r} did (step {planned.subject_index}) belongs to {owner}, by its key"
    error = {"kind": "not_own", "message": message, "happened": False}
    steps.settle_unclaimed(tx, step, StepStatus.SKIPPED, error=error)
    runs.note_settled(tx, run, step.step_index)


def takes_none(declaration: Declaration) -> dict[str, bool]:
    """Return the tools whose calls can be undone, each with whether that goes without the result."""
    tools = declaration.tools.values()
    return {tool.name: tool.compensator.takes_none for tool in tools if tool.compensator is not None}


def _begun(history: Sequence[Step]) -> Sequence[Step]:
    # What has not begun is skipped when the plan is written; what runs is waited for then.
    return [step for step in history if not step.is_open]


def _plan_question(
    declaration: Declaration, run: Run, ending: Ending, effects: Sequence[Effected], index: int
) -> PlannedStep:
    asked = {
        "question": "the run fails; shall what it did be undone?",
        "reason": ending.reason,
        "message": ending.message,
        "effects": [{"step": each.step.step_index, "tool": each.step.tool_name} for each in effects],
    }
    return _planned(
        declaration,
        run,
        index,
        tool_name=APPROVAL,
        input=asked,
        task_name=APPROVAL_TASK,
        queue=declaration.queue,
        person=Person.APPROVAL,
        waiting_reason=Person.APPROVAL,
        after_s=ASK_S,
    )


def _plan_compensation(declaration: Declaration, run: Run, effected: Effected, index: int) -> PlannedStep:
    subject, tool = effected.step, declaration.tools[effected.step.tool_name]
    assert tool.compensator is not None
    return _planned(
        declaration,
        run,
        index,
        tool_name=COMPENSATE,
        input={"result": effected.result, "arguments": subject.input, "key": subject.sent_key},
        task_name=tool.compensate_task,
        queue=tool.queue,
        effect=tool.compensator.effect,
        timeout_s=tool.compensator.timeout_s,
        bulkhead=tool.name,
        subject_index=subject.step_index,
        subject_tool=tool.name,
    )


def _planned(declaration: Declaration, run: Run, index: int, *, input: Mapping[str, Any], **named: Any) -> PlannedStep:
    parts: dict[str, Any] = {"effect": Effect.READ, "timeout_s": 10.0, "bulkhead": None, **named}
    return PlannedStep(
        run_id=run.run_id,
        step_index=index,
        tenant=run.tenant,
        input=input,
        idempotency_key=f"{run.run_id}:{index}",
        business_key=False,
        args_hash=payload.digest(input),
        agent_version=declaration.version,
        parent_index=None,
        call_index=None,
        **parts,
    )
