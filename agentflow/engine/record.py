"""What a record writes, in one transaction: the outcome, what it cost, and what comes next where that is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt, ModelCallLog, Retrying
from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import CLEARING, VERIFY, Effect, StepStatus
from agentflow.domain.waiting import IN_DOUBT, VERIFYING
from agentflow.engine.alarms import alert_outcome
from agentflow.engine.claiming import Claimed, claim_added, claim_in
from agentflow.engine.continuing import Onward
from agentflow.engine.deadman import boottime
from agentflow.engine.deciding import Noted, apply_plan
from agentflow.engine.failures import error_of
from agentflow.engine.following import follow_clearing
from agentflow.engine.plan import Plan
from agentflow.engine.preparing import reserved_for
from agentflow.engine.runtime import Runtime
from agentflow.engine.standing import settle_standing
from agentflow.engine.verifying import as_unconfirmed, begin_verification, drop_needless
from agentflow.policy.happening import may_have_before
from agentflow.policy.keys import KeyEnd, decide_key_end
from agentflow.policy.scratchpad import merged
from agentflow.store import doubts, keys, logs, outbox, runs, steps
from agentflow.store.database import Transaction
from agentflow.store.runs import Taken

STATUS: Mapping[type, StepStatus] = {
    Completed: StepStatus.OK,
    Failed: StepStatus.ERROR,
    InDoubt: StepStatus.IN_DOUBT,
    Retrying: StepStatus.PENDING,
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What an attempt came to, the plan that was made for exactly that, and why the run has to stop where it has.

    `onward` is the plan's step that this process goes on with, if the plan is still the run's own.
    """

    outcome: AttemptOutcome
    latency_ms: float
    plan: Plan | None = None
    stop: str | None = None
    onward: Onward | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written. `undecided` says that the run's next decision is still to be made.

    `claimed` is the next step, where it was claimed along with it.
    """

    outcome: AttemptOutcome
    undecided: bool
    hints: list[Hint] = field(default_factory=list)
    claimed: Claimed | None = None


@dataclass(slots=True)
class Sent:
    """When the claim of the next step was sent at the earliest, on the clock of `boottime`."""

    at: float


@dataclass(frozen=True, slots=True)
class Looked:
    """A next step whose bulkhead was looked at under the lock: why it is paused, None where it is not."""

    onward: Onward
    held: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """One recording transaction, under its run's lock and behind the fence. `is_alone`: no other step is open."""

    tx: Transaction
    runtime: Runtime
    run: Run
    step: LockedStep
    now: datetime
    sent: Sent
    looked: Looked | None
    is_alone: bool = False

    def write(self, claim: Claim, tried: Tried) -> Recorded:
        """Write what an attempt came to, and what follows from it."""
        self._log(claim, tried)
        tried = _with_earlier(self.step, tried)
        outcome = tried.outcome
        hints = self._settle(outcome)
        if self.step.status is StepStatus.IN_DOUBT:
            # Its own attempt has the last word; nobody needs to ask any more.
            doubts.skip_verification(self.tx, self.step)
        if isinstance(outcome, Retrying):
            return self._retry(outcome, hints)
        plan = self._current_plan(tried)
        hints += self._finish(outcome, tried.latency_ms, plan)
        if tried.stop is not None and self.step.tool_name not in CLEARING:
            runs.request_stop(self.tx, self.run.run_id, tried.stop)
        return self._go_on(tried, plan, hints)

    def _retry(self, outcome: Retrying, hints: list[Hint]) -> Recorded:
        tx, run, step = self.tx, self.run, self.step
        steps.retry(tx, step, error_of(outcome) or {}, outcome.reason, outcome.after_s)
        is_needless = step.tool_name == VERIFY and drop_needless(tx, run, step)
        settle_standing(tx, run, outcome.reason, step.step_index)
        if is_needless:
            return Recorded(outcome, undecided=True, hints=hints)
        if run.stop_requested and step.tool_name not in CLEARING:
            # Nothing is tried again in a run that ends, and nobody else would come back to it before the retry is due.
            runs.request_stop(tx, run.run_id, run.stop_requested)
            return Recorded(outcome, undecided=True, hints=hints)
        if outcome.after_s == 0:
            hints.append(Hint(step.task_name, step.queue, step.run_id, step.step_index))
        return Recorded(outcome, undecided=False, hints=hints)

    def _finish(self, outcome: Completed | Failed | InDoubt, latency_ms: float, plan: Plan | None) -> list[Hint]:
        """Write the outcome; without a plan that will be written with it, the run's next decision is due."""
        if self._is_verified(outcome):
            return self._begin_verification(outcome)
        tx, run, step = self.tx, self.run, self.step
        given = outcome if isinstance(outcome, Completed) else Completed(None)
        noted_here = given.scratchpad or None
        if self._succeeds(outcome):
            steps.succeed(tx, step, given.output, flags=given.flags, noted=noted_here, latency_ms=latency_ms)
        else:
            steps.finish(
                tx,
                step,
                STATUS[type(outcome)],
                output=given.output,
                error=self._error_of(outcome),
                flags=given.flags,
                noted=noted_here,
                waiting_reason=IN_DOUBT if isinstance(outcome, InDoubt) else None,
            )
        hints = [*_end_key(tx, step, outcome), *self._send(given)]
        noted = merged(run.scratchpad, given.scratchpad)
        if plan is None:
            runs.note_outcome(tx, run, step.step_index, noted)
        if step.tool_name in CLEARING:
            hints += follow_clearing(tx, replace(run, scratchpad=noted), step, outcome, draw=self.runtime.draw())
        return hints

    def _succeeds(self, outcome: AttemptOutcome) -> bool:
        """True of the answer of a running step that counts as it is."""
        is_running = self.step.status is StepStatus.RUNNING
        return is_running and isinstance(outcome, Completed) and not self._is_verified(outcome)

    def _is_verified(self, outcome: AttemptOutcome) -> bool:
        """True where a verification has to say whether the call happened before anything follows from it."""
        if isinstance(outcome, Completed):
            return self.step.verify_after
        return isinstance(outcome, InDoubt) and self.step.effect is Effect.VERIFIED

    def _begin_verification(self, outcome: Completed | Failed | InDoubt) -> list[Hint]:
        tx, run, step = self.tx, self.run, self.step
        unconfirmed = as_unconfirmed(outcome) if isinstance(outcome, Completed) else None
        error, status = self._error_of(outcome), StepStatus.IN_DOUBT
        steps.finish(tx, step, status, error=error, unconfirmed=unconfirmed, waiting_reason=VERIFYING)
        hints = list(keys.resolve(tx, step, KeyEnd.HELD)) if step.business_key else []
        # What was answered can be looked for at once; of what was not, anything may still be under way.
        after_s = 0.0 if unconfirmed is not None else step.settle_s or 0.0
        return [*hints, *begin_verification(tx, run, step, self.now, after_s=after_s)]

    def _current_plan(self, tried: Tried) -> Plan | None:
        """Return the plan that was made for this outcome, if the run is still as it was made on."""
        plan, run = tried.plan, self.run
        if plan is None or plan.version != run.version or self.step.status is not StepStatus.RUNNING:
            return None
        return None if run.stop_requested or tried.stop or self._is_verified(tried.outcome) else plan

    def _go_on(self, tried: Tried, plan: Plan | None, hints: Sequence[Hint]) -> Recorded:
        tx, run, step = self.tx, self.run, self.step
        reason = f"step_{STATUS[type(tried.outcome)]}"
        if plan is not None:
            given = tried.outcome.scratchpad if isinstance(tried.outcome, Completed) else {}
            noted = Noted(step.step_index, merged(run.scratchpad, given))
            if claimed := self._add_claimed(tried.outcome, noted, reason):
                return Recorded(tried.outcome, undecided=False, hints=list(hints), claimed=claimed)
            applied = apply_plan(tx, run, plan, reason=reason, after=noted)
            if tried.onward is not None:
                return self._continue(tried.outcome, tried.onward, hints)
            return Recorded(tried.outcome, undecided=False, hints=[*hints, *applied])
        settle_standing(tx, run, reason, step.step_index)
        return Recorded(tried.outcome, undecided=True, hints=list(hints))

    def _add_claimed(self, outcome: AttemptOutcome, noted: Noted, reason: str) -> Claimed | None:
        """Add the plan's only step as this process's own; None where it cannot be that at once."""
        if self.looked is None:
            return None
        tx, onward, held = self.tx, self.looked.onward, self.looked.held
        run = self._run_after(outcome, noted, onward.step.step_index)
        claimed = claim_added(
            tx,
            self.runtime,
            run,
            self.now,
            onward.step,
            onward.token,
            sent_at=self.sent.at,
            history=onward.history,
            held=held,
        )
        if claimed is None:
            return None
        taken = Taken(onward.step.tool_name, reserved_for(claimed.call))
        runs.note_decided(tx, run, noted.step_index, noted.scratchpad, onward.step.step_index, taken)
        stands = settle_standing(tx, self.run, reason, known=[step for step in onward.history if step.is_open])
        return claimed if stands is self.run else claimed.standing_as(stands)

    def _run_after(self, outcome: AttemptOutcome, noted: Noted, current_step: int) -> Run:
        """Return the run as this record leaves it."""
        run, (tokens, cost_usd) = self.run, _cost_of(outcome)
        spent, reserved, before = run.spent, run.reserved, self.step.reserved
        return replace(
            run,
            version=run.version + 2,
            current_step=max(run.current_step, current_step),
            scratchpad=noted.scratchpad,
            spent=replace(spent, tokens=spent.tokens + tokens, cost_usd=spent.cost_usd + cost_usd),
            reserved=Reserved(reserved.tokens - before.tokens, reserved.cost_usd - before.cost_usd),
        )

    def _continue(self, outcome: AttemptOutcome, onward: Onward, hints: Sequence[Hint]) -> Recorded:
        """Claim the plan's only step, which has just been added; nobody else needs its hint."""
        tx, runtime, index = self.tx, self.runtime, onward.step.step_index
        # A transactional tool may have taken its time since this transaction began; the lease begins only now.
        self.sent.at = boottime()
        claimed = claim_in(
            tx, runtime, self.run.run_id, index, onward.token, sent_at=self.sent.at, history=onward.history
        )
        if isinstance(claimed, Claimed):
            return Recorded(outcome, undecided=False, hints=list(hints), claimed=claimed)
        return Recorded(outcome, undecided=False, hints=[*hints, *claimed.hints])

    def _error_of(self, outcome: AttemptOutcome) -> Mapping[str, object] | None:
        """Return what is stored of a failure; of a doubt, also the last moment at which its call can have been sent."""
        error = error_of(outcome)
        return {**(error or {}), "sent_until": self.now.isoformat()} if isinstance(outcome, InDoubt) else error

    def _log(self, claim: Claim, tried: Tried) -> None:
        outcome = tried.outcome
        status = "retried" if isinstance(outcome, Retrying) else STATUS[type(outcome)]
        if not self._succeeds(outcome):
            logs.end_attempt(self.tx, self.step, status, error=error_of(outcome), latency_ms=tried.latency_ms)
        if (call := _model_call(outcome)) is not None:
            logs.model_call(self.tx, claim, call, tried.latency_ms)
        if not (isinstance(outcome, InDoubt) and self._is_verified(outcome)):
            alert_outcome(self.tx, self.run, self.step, outcome)

    def _send(self, given: Completed) -> list[Hint]:
        run, step = self.run, self.step
        return outbox.queue(self.tx, given.outbox, tenant=run.tenant, run_id=run.run_id, step_index=step.step_index)

    def _settle(self, outcome: AttemptOutcome) -> list[Hint]:
        """Charge what the call cost in place of what was reserved, and wake who waited for the difference."""
        tokens, cost_usd = _cost_of(outcome)
        runs.settle(self.tx, self.step, tokens=tokens, cost_usd=cost_usd)
        if self.step.reserved == Reserved() or self.is_alone:
            return []
        return list(steps.wake(self.tx, "wake_reserved", run_id=self.step.run_id))


def _end_key(tx: Transaction, step: LockedStep, outcome: Completed | Failed | InDoubt) -> list[Hint]:
    if not step.business_key:
        return []
    end = decide_key_end(step.effect, outcome)
    if end is KeyEnd.FREED:
        return list(keys.free(tx, step))
    return list(keys.resolve(tx, step, end, outcome.output if isinstance(outcome, Completed) else None))


def _cost_of(outcome: AttemptOutcome) -> tuple[int, Decimal]:
    call = _model_call(outcome)
    if call is None:
        return 0, Decimal(0)
    return call.prompt_tokens + call.completion_tokens, call.cost_usd or Decimal(0)


def _model_call(outcome: AttemptOutcome) -> ModelCallLog | None:
    match outcome:
        case Retrying(failed):
            return failed.model_call
        case InDoubt():
            return None
        case _:
            return outcome.model_call


def _with_earlier(step: LockedStep, tried: Tried) -> Tried:
    """Let a failure that certainly did not happen not hide an attempt before it that may have."""
    if not may_have_before(step.effect, step.error):
        return tried
    match tried.outcome:
        case Failed(happened=False) as failed:
            return replace(tried, outcome=replace(failed, happened=None), plan=None)
        case Retrying(Failed(happened=False) as failed) as retrying:
            return replace(tried, outcome=replace(retrying, failed=replace(failed, happened=None)))
    return tried
