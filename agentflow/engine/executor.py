"""The executor: a hint comes in, and one step goes its way: enter, claim, call, answer, record, decide, leave, hint."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import structlog

from agentflow.declare.agent import Agent
from agentflow.declare.credential import Credential
from agentflow.declare.declaration import Declaration
from agentflow.declare.tool import Tool
from agentflow.domain.claim import Claim, LockedStep, Refused
from agentflow.domain.failure import ErrorKind
from agentflow.domain.identity import new_token
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt, Retrying
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, OWN_STEPS, Effect, Step, StepStatus
from agentflow.engine.advancing import advance_run
from agentflow.engine.answering import Answer, answer
from agentflow.engine.callee import tool_of
from agentflow.engine.calling import call_tool
from agentflow.engine.claiming import Claimed, claim_step
from agentflow.engine.deadman import TIMER_MARGIN_S, boottime
from agentflow.engine.deciding import make_plan
from agentflow.engine.entering import enter_bulkhead
from agentflow.engine.failures import error_of
from agentflow.engine.joining import join_scratchpad
from agentflow.engine.late import keep_late_outcome, late_outputs
from agentflow.engine.plan import Plan
from agentflow.engine.recording import Recorded, Tried, record_by_doing, record_outcome
from agentflow.engine.refusing import NotClaimed
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.thinking import call_model
from agentflow.engine.visiting import Visit
from agentflow.engine.writes import EndedByTool, call_and_write
from agentflow.store import runs, steps
from agentflow.store.database import Transaction

log = structlog.get_logger("agentflow.executor")


@dataclass(frozen=True, slots=True)
class Fenced:
    """The outcome came too late: the attempt was somebody else's by then. It is kept as evidence."""

    outcome: AttemptOutcome


Ending = AttemptOutcome | Refused | Fenced


def execute_step(runtime: Runtime, run_id: str, step_index: int) -> Ending:
    """Take one step its whole way and publish what follows from it."""
    runtime.reached("before_enter")
    admitted = enter_bulkhead(runtime, run_id, step_index)
    if isinstance(admitted, Refused):
        return admitted
    visit = Visit(runtime, admitted)
    try:
        return _execute(runtime, run_id, step_index, visit)
    finally:
        visit.end()


def _execute(runtime: Runtime, run_id: str, step_index: int, visit: Visit) -> Ending:
    runtime.reached("before_claim")
    claimed = claim_step(runtime, run_id, step_index, new_token())
    if isinstance(claimed, NotClaimed):
        visit.end()
        runtime.hints.publish(claimed.hints)
        return claimed.refusal
    if not runtime.isolated:
        return _work(runtime, claimed, visit)
    runtime.timer.arm(claimed.local_deadline - TIMER_MARGIN_S)
    try:
        return _work(runtime, claimed, visit)
    finally:
        runtime.timer.disarm()


def _work(runtime: Runtime, claimed: Claimed, visit: Visit) -> Ending:
    claim = claimed.claim
    declaration = runtime.registry.agents[claim.run.agent]
    runtime.reached("after_claim", claim)
    if claim.step.effect is Effect.TRANSACTIONAL:
        recorded = _do_inside_record(runtime, claimed, visit)
    else:
        recorded = _call_then_record(runtime, claimed, declaration, visit)
    if isinstance(recorded, Fenced):
        return recorded
    runtime.reached("after_record", claim, recorded.outcome)
    visit.end()
    hints = list(recorded.hints)
    if recorded.undecided:
        hints += advance_run(runtime, claim.run.run_id).hints
    runtime.hints.publish(hints)
    return recorded.outcome


def _call_then_record(runtime: Runtime, claimed: Claimed, declaration: Declaration, visit: Visit) -> Recorded | Fenced:
    claim = claimed.claim
    runtime.reached("before_call", claim)
    started = time.perf_counter()
    outcome = visit.hear(_call(runtime, claimed, declaration))
    latency_ms = (time.perf_counter() - started) * 1000
    runtime.reached("after_call", claim, outcome)
    answered = _answer(runtime, claimed, declaration, outcome)
    plan = _plan_at_once(runtime, claim, declaration, answered)
    runtime.reached("before_record", claim, answered.outcome)
    recorded = record_outcome(runtime, claim, answered.outcome, latency_ms=latency_ms, plan=plan, stop=answered.stop)
    if recorded is not None:
        return recorded
    log.warning("lease_lost", run_id=claim.run.run_id, step_index=claim.step.step_index, attempt=claim.attempt)
    keep_late_outcome(runtime, claim, outcome)
    return Fenced(outcome)


def _call(runtime: Runtime, claimed: Claimed, declaration: Declaration) -> AttemptOutcome:
    if claimed.call is None:
        return call_tool(runtime, claimed, _tool(declaration, claimed.claim.step))
    assert isinstance(declaration, Agent)
    return call_model(runtime, claimed.claim, declaration, claimed.call)


def _answer(runtime: Runtime, claimed: Claimed, declaration: Declaration, outcome: AttemptOutcome) -> Answer:
    if not isinstance(outcome, Failed):
        return Answer(outcome)
    step = claimed.claim.step
    earlier = runtime.database.atomically(lambda tx: steps.earlier_failures(tx, step))
    return answer(
        runtime,
        claimed.claim,
        outcome,
        earlier=earlier,
        lease_left_s=max(0.0, claimed.local_deadline - boottime()),
        credential=_credential(declaration, step),
    )


def _credential(declaration: Declaration, step: LockedStep) -> Credential | None:
    if step.tool_name != MODEL:
        return _tool(declaration, step).credential
    return declaration.credential if isinstance(declaration, Agent) else None


def _tool(declaration: Declaration, step: LockedStep) -> Tool[Any, Any]:
    tool = tool_of(declaration, step)
    # The claim has seen to it.
    assert tool is not None
    return tool


def _do_inside_record(runtime: Runtime, claimed: Claimed, visit: Visit) -> Recorded | Fenced:
    claim = claimed.claim
    declaration = runtime.registry.agents[claim.run.agent]
    tool = _tool(declaration, claim.step)

    def call(tx: Transaction, run: Run) -> Tried:
        started = time.perf_counter()
        tx.allow(claim.call_s + RECORD_MARGIN_S)
        outcome = visit.hear(
            call_and_write(tx, lambda: join_scratchpad(claim, run, call_tool(runtime, claimed, tool, tx.connection)))
        )
        runtime.reached("after_call", claim, outcome)
        answered = _answer(runtime, claimed, declaration, outcome)
        return Tried(answered.outcome, (time.perf_counter() - started) * 1000, stop=answered.stop)

    runtime.reached("before_record", claim)
    try:
        recorded = record_by_doing(runtime, claim, call)
    except EndedByTool as error:
        failed = Failed(ErrorKind.BUG, str(error), happened=False)
        recorded = record_outcome(runtime, claim, failed, latency_ms=0.0)
    return recorded or Fenced(
        Failed("lease_lost", "the attempt was not ours any more; nothing was done", happened=False)
    )


def _plan_at_once(runtime: Runtime, claim: Claim, declaration: Declaration, answered: Answer) -> Plan | None:
    """Decide on the history at hand, so that outcome and decision can commit together.

    Only the engine's own coordinators are asked here: code of a user's may raise or hang, and the outcome must be
    recorded whatever happens to the decision. Siblings may have moved on since the claim, so the run is read again.
    """
    outcome = answered.outcome
    if not declaration.decides_at_once or answered.stop or isinstance(outcome, InDoubt | Retrying):
        return None
    if claim.step.tool_name in OWN_STEPS or (claim.step.verify_after and isinstance(outcome, Completed)):
        return None
    run, history = claim.run, claim.history
    try:
        if any(step.is_open and step.step_index != claim.step.step_index for step in history):
            with runtime.database.transaction() as tx:
                found = runs.read(tx, run.run_id)
                history = runs.history(tx, run.run_id)
            run = found[0] if found else run
        history = [_with_outcome(step, claim, outcome) for step in history]
        return make_plan(declaration, run, history, late_outputs(runtime, run, history))
    except Exception:
        log.exception("decide_raised", run_id=run.run_id, agent=run.agent)
        return None


def _with_outcome(step: Step, claim: Claim, outcome: Completed | Failed) -> Step:
    if step.step_index != claim.step.step_index:
        return step
    # The history may have been read before the claim, when this was no attempt yet, and took no key.
    step = replace(step, attempt=claim.attempt, key_generation=claim.step.key_generation)
    if isinstance(outcome, Completed):
        return replace(step, status=StepStatus.OK, output=outcome.output)
    return replace(step, status=StepStatus.ERROR, error=error_of(outcome))
