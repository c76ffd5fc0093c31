"""One attempt at a claimed step: its call, what the policy says of it, the decision that follows, and its record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from agentflow.declare.agent import Agent
from agentflow.declare.credential import Credential
from agentflow.declare.tool import Tool
from agentflow.domain.claim import Claim
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, Fenced, InDoubt, Retrying
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, OWN_STEPS, Effect, Step, StepStatus
from agentflow.engine.answering import Answer, answer
from agentflow.engine.callee import tool_of
from agentflow.engine.calling import call_tool
from agentflow.engine.claiming import Claimed
from agentflow.engine.continuing import Chain, Following, Onward, look_onward
from agentflow.engine.deadman import boottime
from agentflow.engine.deciding import make_plan
from agentflow.engine.failures import error_of
from agentflow.engine.joining import join_scratchpad
from agentflow.engine.late import keep_late_outcome, late_outputs
from agentflow.engine.plan import Plan
from agentflow.engine.record import Recorded, Tried
from agentflow.engine.recording import record_by_doing, record_outcome
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.thinking import call_model
from agentflow.engine.visiting import Visit
from agentflow.engine.writes import EndedByTool, call_and_write
from agentflow.store import runs, steps
from agentflow.store.database import Row, Transaction

log = structlog.get_logger("agentflow.executor")


class Attempt:
    """One attempt. `make` it once; then give back the place in the next step's bulkhead where that was not claimed."""

    def __init__(self, runtime: Runtime, claimed: Claimed, visit: Visit, chain: Chain) -> None:
        self._runtime = runtime
        self._claimed = claimed
        self._claim = claimed.claim
        self._declaration = runtime.registry.agents[claimed.claim.run.agent]
        self._visit = visit
        self._chain = chain
        self._onward: Onward | None = None

    def make(self) -> Recorded | Fenced:
        """Call, and record what came of it; a transactional tool is called inside its own record."""
        if self._claim.step.effect is Effect.TRANSACTIONAL:
            return self._do_inside_record()
        return self._call_then_record()

    def following(self, recorded: Recorded) -> Following | None:
        """Return the next step, where it was claimed with the record."""
        if self._onward is None or recorded.claimed is None:
            return None
        onward, self._onward = self._onward, None
        return Following(recorded.claimed, onward.visit)

    def give_back(self) -> None:
        """Leave the next step's bulkhead, which nobody goes on into."""
        onward, self._onward = self._onward, None
        if onward is not None:
            onward.visit.end()

    def _call_then_record(self) -> Recorded | Fenced:
        runtime, claim = self._runtime, self._claim
        runtime.reached("before_call", claim)
        started = time.perf_counter()
        outcome = self._visit.hear(self._call())
        latency_ms = (time.perf_counter() - started) * 1000
        runtime.reached("after_call", claim, outcome)
        answered = self._answer(outcome)
        plan = self._plan(answered)
        runtime.reached("before_record", claim, answered.outcome)
        recorded = record_outcome(runtime, self._claimed, self._tried(answered, latency_ms, plan))
        if recorded is not None:
            return recorded
        log.warning("lease_lost", run_id=claim.run.run_id, step_index=claim.step.step_index, attempt=claim.attempt)
        keep_late_outcome(runtime, claim, outcome)
        return Fenced(outcome)

    def _do_inside_record(self) -> Recorded | Fenced:
        runtime, claim = self._runtime, self._claim
        runtime.reached("before_record", claim)
        try:
            recorded = record_by_doing(runtime, claim, self._do)
        except EndedByTool as error:
            failed = Failed(ErrorKind.BUG, str(error), happened=False)
            recorded = record_outcome(runtime, self._claimed, Tried(failed, 0.0))
        return recorded or Fenced(
            Failed("lease_lost", "the attempt was not ours any more; nothing was done", happened=False)
        )

    def _do(self, tx: Transaction, run: Run) -> Tried:
        """Call a transactional tool under its run's lock; the transaction may have to be begun again, and this too."""
        runtime, claim = self._runtime, self._claim
        self.give_back()
        started = time.perf_counter()
        tx.allow(claim.call_s + RECORD_MARGIN_S)
        connection = tx.connection
        outcome = self._visit.hear(
            call_and_write(
                tx, lambda: join_scratchpad(claim, run, call_tool(runtime, self._claimed, self._tool, connection))
            )
        )
        runtime.reached("after_call", claim, outcome)
        answered = self._answer(outcome)
        latency_ms = (time.perf_counter() - started) * 1000
        return self._tried(answered, latency_ms, self._plan(answered))

    def _tried(self, answered: Answer, latency_ms: float, plan: Plan | None) -> Tried:
        return Tried(answered.outcome, latency_ms, plan, answered.stop, self._onward)

    def _call(self) -> AttemptOutcome:
        if self._claimed.call is None:
            return call_tool(self._runtime, self._claimed, self._tool)
        assert isinstance(self._declaration, Agent)
        return call_model(self._runtime, self._claim, self._declaration, self._claimed.call)

    def _answer(self, outcome: AttemptOutcome) -> Answer:
        if not isinstance(outcome, Failed):
            return Answer(outcome)
        earlier: Sequence[Row] = ()
        if self._claim.attempt > 1:
            earlier = self._runtime.database.atomically(lambda tx: steps.earlier_failures(tx, self._claim.step))
        return answer(
            self._runtime,
            self._claim,
            outcome,
            earlier=earlier,
            lease_left_s=max(0.0, self._claimed.local_deadline - boottime()),
            credential=self._credential,
        )

    @property
    def _credential(self) -> Credential | None:
        if self._claim.step.tool_name != MODEL:
            return self._tool.credential
        return self._declaration.credential if isinstance(self._declaration, Agent) else None

    @property
    def _tool(self) -> Tool[Any, Any]:
        tool = tool_of(self._declaration, self._claim.step)
        # The claim has seen to it.
        assert tool is not None
        return tool

    def _plan(self, answered: Answer) -> Plan | None:
        """Decide on the history at hand, so that outcome and decision can commit together; look where that leads.

        Only the engine's own coordinators are asked here: code of a user's may raise or hang, and the outcome must be
        recorded whatever happens to the decision.
        """
        outcome, step = answered.outcome, self._claim.step
        if not self._declaration.decides_at_once or answered.stop or isinstance(outcome, InDoubt | Retrying):
            return None
        if step.tool_name in OWN_STEPS or (step.verify_after and isinstance(outcome, Completed)):
            return None
        try:
            run, history = self._history()
            history = [_with_outcome(each, self._claim, outcome) for each in history]
            plan = make_plan(self._declaration, run, history, late_outputs(self._runtime, run, history))
        except Exception:
            log.exception("decide_raised", run_id=self._claim.run.run_id, agent=self._claim.run.agent)
            return None
        plan = replace(plan, alone=not any(each.is_open for each in history))
        self._runtime.reached("before_continue", self._claim, outcome)
        self._onward = look_onward(self._runtime, self._chain, run, self._declaration, plan, history, self._visit)
        self._runtime.reached("after_continue", self._claim, outcome)
        return plan

    def _history(self) -> tuple[Run, Sequence[Step]]:
        """Return the run and its steps as they were at the claim; read anew where siblings may have moved on since."""
        claim = self._claim
        if not any(step.is_open and step.step_index != claim.step.step_index for step in claim.history):
            return claim.run, claim.history
        with self._runtime.database.transaction() as tx:
            found = runs.read(tx, claim.run.run_id)
            history = runs.history(tx, claim.run.run_id)
        return found[0] if found else claim.run, history


def _with_outcome(step: Step, claim: Claim, outcome: Completed | Failed) -> Step:
    if step.step_index != claim.step.step_index:
        return step
    # The history may have been read before the claim, when this was no attempt yet, and took no key.
    tried: dict[str, Any] = {"attempt": claim.attempt, "key_generation": claim.step.key_generation}
    if isinstance(outcome, Completed):
        given = {"status": StepStatus.OK, "output": outcome.output, "noted": outcome.scratchpad or None}
    else:
        given = {"status": StepStatus.ERROR, "error": error_of(outcome)}
    return replace(step, waiting_reason=None, **tried, **given)
