"""The executor: a hint comes in, and one step goes its way: claim, call, record, decide, hint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from agentflow.declare.agent import Agent
from agentflow.declare.declaration import Declaration
from agentflow.declare.tool import Tool
from agentflow.domain.claim import Claim, Refused
from agentflow.domain.identity import new_token
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, Effect, Step, StepStatus
from agentflow.engine.advancing import advance_run
from agentflow.engine.calling import call_tool
from agentflow.engine.claiming import Claimed, NotClaimed, claim_step
from agentflow.engine.deciding import Plan, make_plan
from agentflow.engine.joining import join_scratchpad
from agentflow.engine.late import keep_late_outcome
from agentflow.engine.recording import Recorded, Tried, record_by_doing, record_outcome
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.thinking import call_model
from agentflow.engine.writes import EndedByTool, call_and_write
from agentflow.store import runs
from agentflow.store.database import Transaction

log = structlog.get_logger("agentflow.executor")

# The timer must have killed the process before the lease is over on the database's clock.
_TIMER_MARGIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Fenced:
    """The outcome came too late: the attempt was somebody else's by then. It is kept as evidence."""

    outcome: AttemptOutcome


Ending = AttemptOutcome | Refused | Fenced


def execute_step(runtime: Runtime, run_id: str, step_index: int) -> Ending:
    """Take one step its whole way and publish what follows from it."""
    runtime.reached("before_claim")
    answer = claim_step(runtime, run_id, step_index, new_token())
    if isinstance(answer, NotClaimed):
        runtime.hints.publish(answer.hints)
        return answer.refusal
    if not runtime.isolated:
        return _work(runtime, answer)
    runtime.timer.arm(answer.local_deadline - _TIMER_MARGIN_S)
    try:
        return _work(runtime, answer)
    finally:
        runtime.timer.disarm()


def _work(runtime: Runtime, claimed: Claimed) -> Ending:
    claim = claimed.claim
    declaration = runtime.registry.agents[claim.run.agent]
    runtime.reached("after_claim", claim)
    if claim.step.effect is Effect.TRANSACTIONAL:
        recorded = _do_inside_record(runtime, claim, declaration.tools[claim.step.tool_name])
    else:
        recorded = _call_then_record(runtime, claim, declaration)
    if isinstance(recorded, Fenced):
        return recorded
    runtime.reached("after_record", claim, recorded.outcome)
    hints = list(recorded.hints)
    if recorded.undecided:
        hints += advance_run(runtime, claim.run.run_id).hints
    runtime.hints.publish(hints)
    return recorded.outcome


def _call_then_record(runtime: Runtime, claim: Claim, declaration: Declaration) -> Recorded | Fenced:
    runtime.reached("before_call", claim)
    started = time.perf_counter()
    if claim.step.tool_name == MODEL:
        assert isinstance(declaration, Agent)
        outcome = call_model(runtime, claim, declaration, _earlier(runtime, claim))
    else:
        outcome = call_tool(runtime, claim, declaration.tools[claim.step.tool_name])
    latency_ms = (time.perf_counter() - started) * 1000
    runtime.reached("after_call", claim, outcome)
    plan = _plan_at_once(runtime, claim, declaration, outcome)
    runtime.reached("before_record", claim, outcome)
    recorded = record_outcome(runtime, claim, outcome, latency_ms=latency_ms, plan=plan)
    if recorded is not None:
        return recorded
    log.warning("lease_lost", run_id=claim.run.run_id, step_index=claim.step.step_index, attempt=claim.attempt)
    keep_late_outcome(runtime, claim, outcome)
    return Fenced(outcome)


def _do_inside_record(runtime: Runtime, claim: Claim, tool: Tool[Any, Any]) -> Recorded | Fenced:
    def call(tx: Transaction, run: Run) -> Tried:
        started = time.perf_counter()
        tx.allow(claim.step.timeout_s + RECORD_MARGIN_S)
        outcome = call_and_write(
            tx, lambda: join_scratchpad(claim, run, call_tool(runtime, claim, tool, tx.connection))
        )
        runtime.reached("after_call", claim, outcome)
        return Tried(outcome, (time.perf_counter() - started) * 1000)

    runtime.reached("before_record", claim)
    try:
        recorded = record_by_doing(runtime, claim, call)
    except EndedByTool as error:
        recorded = record_outcome(runtime, claim, Failed("bug", str(error), happened=False), latency_ms=0.0)
    return recorded or Fenced(
        Failed("lease_lost", "the attempt was not ours any more; nothing was done", happened=False)
    )


def _earlier(runtime: Runtime, claim: Claim) -> Sequence[Sequence[Step]]:
    if claim.run.conversation_id is None:
        return []
    return runtime.database.atomically(lambda tx: runs.earlier_history(tx, claim.run))


def _plan_at_once(runtime: Runtime, claim: Claim, declaration: Declaration, outcome: AttemptOutcome) -> Plan | None:
    """Decide on the history at hand, so that outcome and decision can commit together.

    Only the engine's own coordinators are asked here: code of a user's may raise or hang, and the outcome must be
    recorded whatever happens to the decision. Siblings may have moved on since the claim, so the run is read again.
    """
    if not declaration.decides_at_once or isinstance(outcome, InDoubt):
        return None
    run, history = claim.run, claim.history
    try:
        if any(step.is_open and step.step_index != claim.step.step_index for step in history):
            with runtime.database.transaction() as tx:
                found = runs.read(tx, run.run_id)
                history = runs.history(tx, run.run_id)
            run = found[0] if found else run
        return make_plan(declaration, run, [_with_outcome(step, claim, outcome) for step in history])
    except Exception:
        log.exception("decide_raised", run_id=run.run_id, agent=run.agent)
        return None


def _with_outcome(step: Step, claim: Claim, outcome: Completed | Failed) -> Step:
    if step.step_index != claim.step.step_index:
        return step
    if isinstance(outcome, Completed):
        return replace(step, status=StepStatus.OK, output=outcome.output)
    return replace(step, status=StepStatus.ERROR, error={"kind": outcome.kind, "message": outcome.message})
