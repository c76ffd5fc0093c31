"""Claiming a step: the transaction before the call, after which one attempt owns it, or another answer is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agentflow.declare.agent import Agent
from agentflow.domain.claim import Claim, ClaimAnswer, LockedStep, Refused
from agentflow.domain.run import Reserved, Run, RunStatus
from agentflow.domain.step import APPROVAL, CLEARING, MODEL, OWN_STEPS, Step, StepStatus
from agentflow.engine.approving import check_approval
from agentflow.engine.callee import tool_of
from agentflow.engine.deadman import boottime
from agentflow.engine.preparing import PreparedCall, prepare_call
from agentflow.engine.refusing import NotClaimed, refuse, settle
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.standing import settle_standing
from agentflow.policy.budget import NoRoom
from agentflow.policy.claim import refuse_claim, refuse_key
from agentflow.store import conversations, keys, runs, steps
from agentflow.store.database import Row, Transaction

_SHORTEST_CALL_S = 0.1


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim, and until when this process may work on it, on its own clock (`boottime`).

    `call` is what a model step asks; None of a tool's.
    """

    claim: Claim
    local_deadline: float
    call: PreparedCall | None = None


_Claim = tuple[Claim, PreparedCall | None]


def claim_step(runtime: Runtime, run_id: str, step_index: int, token: str) -> Claimed | NotClaimed:
    """Claim a step for this worker. `token` is fresh: by it a commit whose answer was lost is known again."""
    sent_at = boottime()

    def body(tx: Transaction) -> _Claim | NotClaimed:
        locked = runs.lock(tx, run_id)
        step = steps.lock(tx, run_id, step_index) if locked else None
        if locked is None or step is None:
            return NotClaimed(Refused(ClaimAnswer.DUPLICATE, "no such step"))
        run, now = locked
        if step.claim_token == token and step.status is StepStatus.RUNNING:
            return _claimed_before(tx, runtime, run, step, token, now)
        if refusal := _refusal(tx, runtime, run, step, now):
            return refuse(tx, run, step, refusal)
        return _claim_or_settle(tx, runtime, run, step, token, now)

    answer = runtime.database.atomically(body)
    if isinstance(answer, NotClaimed):
        return answer
    claim, call = answer
    return Claimed(claim, sent_at + (claim.lease_until - claim.claimed_at).total_seconds(), call)


def _refusal(tx: Transaction, runtime: Runtime, run: Run, step: LockedStep, now: datetime) -> Refused | None:
    refusal = refuse_claim(run, step, has_turn=conversations.has_turn(tx, run), now=now)
    if refusal is None and (reason := _cannot_serve(runtime, run, step)):
        return Refused(ClaimAnswer.UNSERVED, reason)
    return refusal or check_approval(tx, step, now)


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


def _claim_or_settle(
    tx: Transaction, runtime: Runtime, run: Run, step: LockedStep, token: str, now: datetime
) -> _Claim | NotClaimed:
    """Claim a step that may be called, unless its answer is known or there is no room for its cost."""
    tool = runtime.registry.agents[run.agent].tools.get(step.tool_name)
    if tool is not None and tool.cache and (row := steps.cached_output(tx, run.run_id, tool.name, step.args_hash)):
        return settle(tx, run, step, Refused(ClaimAnswer.CACHED), row["tool_output"])
    history = runs.history(tx, run.run_id)
    call = _prepared(tx, runtime, run, step, history, now)
    if isinstance(call, NoRoom):
        answer = ClaimAnswer.BUDGET_RESERVED if call.passing else ClaimAnswer.BUDGET
        return refuse(tx, run, step, Refused(answer, call.ceiling))
    if step.business_key:
        taken = keys.take(tx, step)
        if refusal := refuse_key(step, taken.record):
            return refuse(tx, run, step, refusal)
        step = replace(step, key_generation=taken.generation)
    row = steps.claim(
        tx,
        step,
        runtime.worker,
        token,
        lease_s=_call_s(run, step, now) + RECORD_MARGIN_S,
        is_tool_call=step.tool_name != MODEL and step.tool_name not in OWN_STEPS,
        is_clearing=step.tool_name in CLEARING,
        reserved=call.reserved if call else Reserved(),
    )
    if run.status is not RunStatus.RUNNING:
        settle_standing(tx, run, "claimed", step.step_index)
    counted = 0 if step.tool_name in CLEARING else 1
    spent = replace(run.spent, attempts=run.spent.attempts + counted)
    return _claim_of(replace(run, deadline_at=row["deadline_at"], spent=spent), step, token, row, history), call


def _prepared(
    tx: Transaction, runtime: Runtime, run: Run, step: LockedStep, history: Sequence[Step], now: datetime
) -> PreparedCall | NoRoom | None:
    declaration = runtime.registry.agents[run.agent]
    if step.tool_name != MODEL or not isinstance(declaration, Agent):
        return None
    return prepare_call(tx, runtime, declaration, run, step, history, _call_s(run, step, now))


def _call_s(run: Run, step: LockedStep, now: datetime) -> float:
    """Return how long a call may take: the step's timeout, or what is left of the run's time."""
    if step.tool_name in CLEARING:
        return step.timeout_s
    left_s = float(run.budget.get("time_s") or math.inf)
    if run.deadline_at is not None:
        left_s = (run.deadline_at - now).total_seconds()
    return max(_SHORTEST_CALL_S, min(step.timeout_s, left_s))


def _claim_of(run: Run, step: LockedStep, token: str, row: Row, history: Sequence[Step]) -> Claim:
    # To the millisecond: what the database's clock adds to that is no part of anybody's timeout, and errors name it.
    call_s = round((row["lease_until"] - row["claimed_at"]).total_seconds() - RECORD_MARGIN_S, 3)
    return Claim(run, step, row["attempt"], token, row["claimed_at"], row["lease_until"], history, call_s)


def _claimed_before(tx: Transaction, runtime: Runtime, run: Run, step: LockedStep, token: str, now: datetime) -> _Claim:
    """Return the claim that an earlier try at this transaction has made; only its answer was lost."""
    row = {"attempt": step.attempt, "claimed_at": step.claimed_at, "lease_until": step.lease_until}
    history = runs.history(tx, run.run_id)
    # Room was found for it then; asked again, its own reservation would stand in its way.
    call = _prepared(tx, runtime, replace(run, budget={}), step, history, now)
    assert not isinstance(call, NoRoom)
    return _claim_of(run, step, token, row, history), call
