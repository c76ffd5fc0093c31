"""Claiming a step: the transaction before the call, after which one attempt owns it, or another answer is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentflow.declare.agent import Agent
from agentflow.domain.claim import Claim, ClaimAnswer, LockedStep, Refused
from agentflow.domain.run import Reserved, Run, RunStatus, Spent
from agentflow.domain.step import APPROVAL, CLEARING, MODEL, Step, StepStatus
from agentflow.domain.waiting import TOOL_PAUSED
from agentflow.engine.approving import check_approval
from agentflow.engine.callee import tool_of
from agentflow.engine.deadman import boottime
from agentflow.engine.preparing import PreparedCall, prepare_call, reserved_for
from agentflow.engine.refusing import NotClaimed, refuse, settle
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.standing import settle_standing
from agentflow.policy.budget import NoRoom
from agentflow.policy.claim import refuse_claim, refuse_key
from agentflow.store import claims, conversations, keys, steps
from agentflow.store.claims import Hold, Locked
from agentflow.store.database import Transaction
from agentflow.store.steps import PlannedStep

_SHORTEST_CALL_S = 0.1


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim, and when it was sent at the earliest, on this process's own clock (`boottime`).

    `call` is what a model step asks; None of a tool's.
    """

    claim: Claim
    sent_at: float
    call: PreparedCall | None = None

    @property
    def local_deadline(self) -> float:
        """Until when this process may work on it, on its own clock: the database's lease ends no earlier."""
        return self.sent_at + (self.claim.lease_until - self.claim.claimed_at).total_seconds()

    @property
    def now(self) -> datetime:
        """About the time on the database's clock: none earlier than that."""
        return self.claim.claimed_at + timedelta(seconds=boottime() - self.sent_at)

    def standing_as(self, run: Run) -> Claimed:
        """Return this claim of a run that has come to stand otherwise along with it."""
        stands = replace(self.claim.run, status=run.status, waiting_reason=run.waiting_reason)
        return replace(self, claim=replace(self.claim, run=stands))


def claim_step(runtime: Runtime, run_id: str, step_index: int, token: str) -> Claimed | NotClaimed:
    """Claim a step for this worker. `token` is fresh: by it a commit whose answer was lost is known again."""
    sent_at = boottime()
    return runtime.database.atomically(lambda tx: claim_in(tx, runtime, run_id, step_index, token, sent_at=sent_at))


def claim_in(
    tx: Transaction,
    runtime: Runtime,
    run_id: str,
    step_index: int,
    token: str,
    *,
    sent_at: float,
    history: Sequence[Step] | None = None,
) -> Claimed | NotClaimed:
    """Claim a step inside a transaction that began after `sent_at`, on the clock of `boottime`.

    `history` is the run's, where it is known: nothing may have changed in it but what this transaction has written.
    """
    locked = claims.lock(tx, run_id, step_index)
    if locked is None:
        return NotClaimed(Refused(ClaimAnswer.DUPLICATE, "no such step"))
    attempt = _Attempt(tx, runtime, locked, token, sent_at, history)
    if _is_ours(locked.step, token):
        return attempt.claimed_before()
    if refusal := attempt.refusal():
        return refuse(tx, locked.run, locked.step, refusal)
    return attempt.claim_or_settle()


def claim_added(
    tx: Transaction,
    runtime: Runtime,
    run: Run,
    now: datetime,
    planned: PlannedStep,
    token: str,
    *,
    sent_at: float,
    history: Sequence[Step],
    held: str | None,
) -> Claimed | None:
    """Add a step to a locked run as this process's own, at a time of the database's clock.

    `held` is why its bulkhead is paused. None where it has to be added and claimed in the ordinary way.
    """
    locked = Locked(run, claims.locked_of(planned), now, held=held)
    return _Attempt(tx, runtime, locked, token, sent_at, history).claim_added(planned, history)


def claimed_before(
    tx: Transaction, runtime: Runtime, step: PlannedStep, token: str, *, sent_at: float
) -> Claimed | None:
    """Return the claim that an earlier try at this transaction has made; None where it has made none."""
    locked = claims.lock(tx, step.run_id, step.step_index)
    if locked is None or not _is_ours(locked.step, token):
        return None
    return _Attempt(tx, runtime, locked, token, sent_at, None).claimed_before()


def _is_ours(step: LockedStep, token: str) -> bool:
    return step.claim_token == token and step.status is StepStatus.RUNNING


def _cannot_serve(runtime: Runtime, run: Run, step: LockedStep) -> str | None:
    """Return why this process may not take a step: it lacks the code, or can't be killed where a late call harms."""
    declaration = runtime.registry.agents.get(run.agent)
    if declaration is None:
        return f"a worker of queue {step.queue!r} does not know the agent {run.agent!r}"
    if step.tool_name not in {MODEL, APPROVAL} and tool_of(declaration, step) is None:
        name = f"{step.tool_name} of {step.subject_tool}" if step.subject_tool else step.tool_name
        return f"a worker of queue {step.queue!r} does not know the tool {name!r} of {run.agent!r}"
    if step.effect.needs_process and not runtime.isolated:
        return f"the tool {step.tool_name!r} is {step.effect} and runs in prefork pools only; move its queue to one"
    return None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A try at a claim, under the locks of its step and run."""

    tx: Transaction
    runtime: Runtime
    locked: Locked
    token: str
    sent_at: float
    known: Sequence[Step] | None

    def refusal(self) -> Refused | None:
        """Return why the step may not be claimed, by what is known before its key and its cost are."""
        tx, run, step, now = self.tx, self.locked.run, self.locked.step, self.locked.now
        refusal = refuse_claim(run, step, has_turn=conversations.has_turn(tx, run), now=now)
        if refusal is None and (reason := _cannot_serve(self.runtime, run, step)):
            return Refused(ClaimAnswer.UNSERVED, reason)
        return refusal or check_approval(tx, step, now)

    def claim_or_settle(self) -> Claimed | NotClaimed:
        """Claim a step that may be called, unless its answer is known or there is no room for its cost."""
        tx, run, step = self.tx, self.locked.run, self.locked.step
        tool = self.runtime.registry.agents[run.agent].tools.get(step.tool_name)
        if tool is not None and tool.cache and (row := steps.cached_output(tx, run.run_id, tool.name, step.args_hash)):
            return settle(tx, run, step, Refused(ClaimAnswer.CACHED), row["tool_output"])
        if self.locked.held is not None:
            return refuse(tx, run, step, Refused(ClaimAnswer.DENIED, TOOL_PAUSED))
        history = self._history()
        call = self._prepared(run, history)
        if isinstance(call, NoRoom):
            answer = ClaimAnswer.BUDGET_RESERVED if call.passing else ClaimAnswer.BUDGET
            return refuse(tx, run, step, Refused(answer, call.ceiling))
        if step.business_key:
            taken = keys.take(tx, step)
            if refusal := refuse_key(step, taken.record):
                return refuse(tx, run, step, refusal)
            step = replace(step, key_generation=taken.generation)
        return self._claim(step, history, call)

    def claim_added(self, planned: PlannedStep, history: Sequence[Step]) -> Claimed | None:
        """Add a step as claimed, where nothing stands in its way; None where something may, or has to be asked."""
        if planned.business_key or self.locked.held is not None or self.refusal() is not None:
            return None
        run, step = self.locked.run, self.locked.step
        call = self._prepared(run, history)
        if isinstance(call, NoRoom):
            return None
        reserved = reserved_for(call)
        hold = claims.hold_of(self.locked, self.token, self._call_s(run) + RECORD_MARGIN_S)
        claims.insert(self.tx, planned, hold, self.runtime.worker, reserved)
        return self._claimed(_counted(run, hold, step, reserved), step, hold, history, call)

    def claimed_before(self) -> Claimed:
        """Return the claim that an earlier try at this transaction has made; only its answer was lost."""
        run, step, history = self.locked.run, self.locked.step, self.locked.history
        # Room was found for it then; asked again, its own reservation would stand in its way.
        call = self._prepared(replace(run, budget={}), history)
        assert not isinstance(call, NoRoom)
        assert step.claimed_at is not None
        assert step.lease_until is not None
        lease_s = (step.lease_until - step.claimed_at).total_seconds()
        hold = Hold(step.attempt, self.token, step.claimed_at, lease_s, run.deadline_at)
        return self._claimed(run, step, hold, history, call)

    def _claim(self, step: LockedStep, history: Sequence[Step], call: PreparedCall | None) -> Claimed:
        tx, run = self.tx, self.locked.run
        reserved = reserved_for(call)
        hold = claims.hold_of(self.locked, self.token, self._call_s(run) + RECORD_MARGIN_S)
        claims.take(tx, step, hold, self.runtime.worker, reserved)
        if run.status is not RunStatus.RUNNING:
            known = [_running(each, step) for each in history if each.is_open]
            run = settle_standing(tx, run, "claimed", step.step_index, known=known)
        return self._claimed(_counted(run, hold, step, reserved), step, hold, history, call)

    def _claimed(
        self, run: Run, step: LockedStep, hold: Hold, history: Sequence[Step], call: PreparedCall | None
    ) -> Claimed:
        # To the millisecond: what is finer comes from the database's clock, and errors name the time.
        call_s = round(hold.lease_s - RECORD_MARGIN_S, 3)
        held = claims.as_held(step, hold, self.runtime.worker, reserved_for(call))
        claim = Claim(run, held, hold.attempt, hold.token, hold.claimed_at, hold.lease_until, history, call_s)
        return Claimed(claim, self.sent_at, call)

    def _history(self) -> Sequence[Step]:
        return self.locked.history if self.known is None else self.known

    def _prepared(self, run: Run, history: Sequence[Step]) -> PreparedCall | NoRoom | None:
        declaration, step = self.runtime.registry.agents[run.agent], self.locked.step
        if step.tool_name != MODEL or not isinstance(declaration, Agent):
            return None
        return prepare_call(self.tx, self.runtime, declaration, run, step, history, self._call_s(run))

    def _call_s(self, run: Run) -> float:
        """Return how long a call may take: the step's timeout, or what is left of the run's time."""
        step = self.locked.step
        if step.tool_name in CLEARING:
            return step.timeout_s
        left_s = float(run.budget.get("time_s") or math.inf)
        if run.deadline_at is not None:
            left_s = (run.deadline_at - self.locked.now).total_seconds()
        return max(_SHORTEST_CALL_S, min(step.timeout_s, left_s))


def _counted(run: Run, hold: Hold, step: LockedStep, reserved: Reserved) -> Run:
    """Return a run with the attempt that it has just begun."""
    spent, before = run.spent, run.reserved
    attempts = spent.attempts + (step.tool_name not in CLEARING)
    tool_calls = spent.tool_calls + (hold.attempt == 1 and claims.is_tool_call(step))
    return replace(
        run,
        deadline_at=hold.deadline_at,
        spent=Spent(attempts, tool_calls, spent.tokens, spent.cost_usd),
        reserved=Reserved(before.tokens + reserved.tokens, before.cost_usd + reserved.cost_usd),
    )


def _running(step: Step, claimed: LockedStep) -> Step:
    if step.step_index != claimed.step_index:
        return step
    return replace(step, status=StepStatus.RUNNING, waiting_reason=None)
