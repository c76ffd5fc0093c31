"""Recording an outcome: one transaction behind the fence, which takes the run for unchanged, or looks at it first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.outcome import AttemptOutcome, Completed, InDoubt
from agentflow.domain.run import Run
from agentflow.domain.step import StepStatus
from agentflow.engine.claiming import Claimed, claimed_before
from agentflow.engine.continuing import Onward
from agentflow.engine.deadman import boottime
from agentflow.engine.failures import error_of
from agentflow.engine.joining import join_scratchpad
from agentflow.engine.record import STATUS, Looked, Record, Recorded, Sent, Tried
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.verifying import is_too_early
from agentflow.store import claims
from agentflow.store.database import Transaction

# An outcome is worth waiting for: as long as the lease leaves room, a database that restarts loses none.
_PATIENCE_S = RECORD_MARGIN_S - 2


# Runs under the run's lock, behind the fence.
Try = Callable[[Transaction, Run], Tried]


def record_outcome(runtime: Runtime, claimed: Claimed, tried: Tried) -> Recorded | None:
    """Record what an attempt came to if it is still ours; return None otherwise.

    Step, logs, outbox rows, key and spent budget commit together, so that a crash leaves all or none. The plan is
    written too where the run's version is still the one it was made on, and its step claimed that goes on here.
    """
    claim = claimed.claim
    sent = Sent(boottime())
    if not _is_as_planned(claim, tried):
        return _record_as_found(runtime, claim, tried, sent)
    tries: list[Tried] = []
    try:
        return _record_as_expected(runtime, claimed, tried, sent, tries)
    except DBAPIError as error:
        if not claims.is_unexpected(error):
            raise
    # Somebody has moved the run on: we ourselves perhaps, where a try before the one that failed had no answer.
    return _record_as_found(runtime, claim, tried, sent, tries[:-1])


def _is_as_planned(claim: Claim, tried: Tried) -> bool:
    """Whether nothing but this outcome decides what is written: there is a plan, and nobody else is at the run."""
    plan = tried.plan
    return plan is not None and plan.alone and tried.stop is None and claims.is_expectable(claim)


def _record_as_expected(runtime: Runtime, claimed: Claimed, tried: Tried, sent: Sent, tries: list[Tried]) -> Recorded:
    """Record in one message, which fails as a whole where the run is not as the claim has left it; note each try."""
    claim, onward = claimed.claim, tried.onward

    def body(tx: Transaction) -> Recorded:
        tries.append(tried)
        locked = claims.expect(tx, claim, claimed.now, onward.step.bulkhead if onward else None)
        looked = Looked(onward, locked.held) if onward else None
        record = Record(tx, runtime, locked.run, locked.step, locked.now, sent, looked, is_alone=True)
        return record.write(claim, tried)

    return runtime.database.atomically(body, patience_s=_PATIENCE_S)


def _record_as_found(
    runtime: Runtime, claim: Claim, tried: Tried, sent: Sent, kept: Sequence[Tried] = ()
) -> Recorded | None:
    """Look at the run under its lock first. `kept` is what may have been written already."""

    def give(_: Transaction, run: Run) -> Tried:
        joined = join_scratchpad(claim, run, tried.outcome)
        return tried if joined is tried.outcome else replace(tried, outcome=joined, plan=None)

    return _record(runtime, claim, give, sent, tried.onward, kept)


def record_by_doing(runtime: Runtime, claim: Claim, call: Try) -> Recorded | None:
    """Call a transactional tool inside the recording transaction, behind the fence, and record what it came to."""
    return _record(runtime, claim, call, Sent(boottime()))


def _record(
    runtime: Runtime,
    claim: Claim,
    call: Try,
    sent: Sent,
    onward: Onward | None = None,
    before: Sequence[Tried] = (),
) -> Recorded | None:
    """Record in one transaction; of a step `onward` that is known before it, its bulkhead is looked at on the way."""
    kept = list(before)

    def body(tx: Transaction) -> Recorded | None:
        locked = claims.lock_again(tx, claim, onward.step.bulkhead if onward else None)
        if locked is None or (locked.step.claim_token, locked.step.attempt) != (claim.token, claim.attempt):
            return None
        run, step, now = locked.run, locked.step, locked.now
        looked = Looked(onward, locked.held) if onward else None
        if kept and _is_written(step, kept[0].outcome):
            return _recorded_before(tx, runtime, kept[0], sent)
        if step.status not in {StepStatus.RUNNING, StepStatus.IN_DOUBT}:
            return None
        tried = _as_far_as_known(call(tx, run), step, now)
        if step.status is StepStatus.IN_DOUBT and isinstance(tried.outcome, InDoubt):
            return None
        kept[:] = [tried]
        return Record(tx, runtime, run, step, now, sent, looked).write(claim, tried)

    return runtime.database.atomically(body, patience_s=_PATIENCE_S)


def _recorded_before(tx: Transaction, runtime: Runtime, tried: Tried, sent: Sent) -> Recorded:
    """Return what an earlier try at this transaction has written; its next step is ours where it has our token."""
    onward = tried.onward
    claimed = claimed_before(tx, runtime, onward.step, onward.token, sent_at=sent.at) if onward else None
    return Recorded(tried.outcome, undecided=claimed is None, claimed=claimed)


def _is_written(step: LockedStep, outcome: AttemptOutcome) -> bool:
    """True where an earlier try at this transaction did commit, and only its answer was lost."""
    if step.status is not StepStatus.IN_DOUBT:
        return step.status is STATUS[type(outcome)]
    if isinstance(outcome, Completed):
        return step.unconfirmed is not None
    # Others may have put the step in doubt since a try that did not commit.
    stored = step.error or {}
    return {**(error_of(outcome) or {}), "sent_until": stored.get("sent_until")} == stored


def _as_far_as_known(tried: Tried, step: LockedStep, now: datetime) -> Tried:
    """Let a verification that found nothing wait until everything can have arrived."""
    if isinstance(tried.outcome, Completed) and (early := is_too_early(step, tried.outcome, now)):
        return replace(tried, outcome=early)
    return tried
