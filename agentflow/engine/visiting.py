"""A step's stay in its bulkhead, what the gate hears of it, and who is woken when it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import structlog
from sqlalchemy.exc import DBAPIError

from agentflow.domain.errors import DatabaseUnavailable
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt, Retrying
from agentflow.domain.waiting import GATED
from agentflow.engine.runtime import Runtime
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Heard, Verdict, Visitor, Waiter
from agentflow.store import steps

log = structlog.get_logger("agentflow.gate")

# What says nothing about the other side: it answered, or was never asked.
_NEUTRAL = {
    ErrorKind.BAD_INPUT,
    ErrorKind.AUTH,
    ErrorKind.QUOTA,
    ErrorKind.CONTEXT_OVERFLOW,
    ErrorKind.REFUSED,
    ErrorKind.TOOL_ERROR,
    ErrorKind.BAD_OUTPUT,
    ErrorKind.BUG,
    ErrorKind.RATE_LIMITED,
    ErrorKind.SCRATCHPAD_CONFLICT,
}
_OVERLOADED = 529
# Without credit every call fails: the breaker stays open until a person has mended that and closes it, or so long.
QUOTA_HOLD_S = 3600.0


class Visit:
    """One step's stay in its bulkhead. It ends once, with what was heard of the call; without an outcome, as unused."""

    def __init__(self, runtime: Runtime, admitted: Admitted | None = None) -> None:
        self._runtime = runtime
        self._admitted = admitted
        self._heard = Heard(Verdict.UNUSED)
        self._quota: str | None = None

    def hear(self, outcome: AttemptOutcome) -> AttemptOutcome:
        """Note what a call came to, and return it."""
        self._heard = heard_of(outcome)
        self._quota = outcome.message if isinstance(outcome, Failed) and outcome.kind == ErrorKind.QUOTA else None
        return outcome

    def end(self) -> None:
        """Give the slot back, tell the gate what was heard, and wake the steps for which there is room now."""
        admitted, self._admitted = self._admitted, None
        if admitted is not None:
            self._follow(admitted, self._runtime.gate.leave(admitted, self._heard))

    def pass_on(self, bulkhead: Bulkhead, visitor: Visitor) -> Visit | None:
        """End, and enter the next bulkhead in the same round trip; None where it is denied."""
        admitted, self._admitted = self._admitted, None
        waiters, answer = self._runtime.gate.pass_on(admitted, self._heard, bulkhead, visitor)
        entered = None if isinstance(answer, Denied) else Visit(self._runtime, answer)
        if admitted is not None:
            self._follow(admitted, waiters)
        return entered

    def _follow(self, admitted: Admitted, waiters: Sequence[Waiter]) -> None:
        wake(self._runtime, waiters)
        if self._quota is not None:
            self._hold_open(admitted.bulkhead.breaker)

    def _hold_open(self, breaker: str) -> None:
        try:
            self._runtime.gate.hold_open(breaker, QUOTA_HOLD_S, "quota")
        except OSError as error:
            # The next call that meets the quota says so again.
            log.warning("breaker_not_held", breaker=breaker, error=str(error))


def wake(runtime: Runtime, waiters: Sequence[Waiter]) -> None:
    """Make denied steps due, and hint them. Where the database does not answer, that is left to the sweeper."""
    if not waiters:
        return
    try:
        woken = runtime.database.glance(
            lambda tx: steps.wake(
                tx,
                "wake_denied",
                run_ids=[each.run_id for each in waiters],
                step_indexes=[each.step_index for each in waiters],
                gated=list(GATED),
            )
        )
        runtime.hints.publish(woken)
    except (DatabaseUnavailable, DBAPIError) as error:
        log.warning("waiters_not_woken", waiters=len(waiters), error=type(error).__name__)


def heard_of(outcome: AttemptOutcome) -> Heard:
    """Return what an outcome says of the other side."""
    match outcome:
        case Completed():
            return Heard(Verdict.OK)
        case Retrying(failed):
            return heard_of(failed)
        case Failed(kind):
            throttled = kind == ErrorKind.RATE_LIMITED or outcome.status == _OVERLOADED
            verdict = Verdict.NEUTRAL if kind in _NEUTRAL else Verdict.FAILURE
            return Heard(verdict, throttled=throttled, retry_after_s=outcome.retry_after_s)
        case InDoubt():
            return Heard(Verdict.FAILURE)
    assert_never(outcome)
