"""Entering a bulkhead before a step is claimed, and leaving it after its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import structlog
from sqlalchemy.exc import DBAPIError

from agentflow.declare.agent import Agent
from agentflow.declare.tool import Tool
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.errors import DatabaseUnavailable
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt, Retrying
from agentflow.domain.step import MODEL, StepStatus
from agentflow.domain.waiting import GATED, TOOL_PAUSED
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.standing import settle_standing
from agentflow.gate.protocol import Admitted, Bulkhead, Denial, Denied, Heard, Verdict, Visitor, Waiter
from agentflow.store import runs, steps
from agentflow.store.database import Row, Transaction

log = structlog.get_logger("agentflow.gate")

# A paused tool's steps are not woken before it is resumed; the time is for whoever reads the row.
_PAUSED_S = 60.0
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


def enter_bulkhead(runtime: Runtime, run_id: str, step_index: int) -> Admitted | Refused | None:
    """Ask the gate for a step; a denied one is parked. None where no gate is needed, or a claim will refuse anyway."""
    look = runtime.database.glance(lambda tx: steps.look(tx, run_id, step_index))
    if look is None or look["status"] != StepStatus.PENDING or not look["is_due"]:
        return None
    asked = _asked(runtime, run_id, step_index, look)
    if asked is None:
        return None
    if look["held"] is not None:
        return _park(runtime, run_id, step_index, TOOL_PAUSED, _PAUSED_S)
    answer = runtime.gate.enter(*asked)
    if isinstance(answer, Denied):
        return _park(runtime, run_id, step_index, answer.reason, answer.after_s)
    return answer


class Visit:
    """One step's stay in its bulkhead. It ends once, with what was heard of the call; without an outcome, as unused."""

    def __init__(self, runtime: Runtime, admitted: Admitted | None) -> None:
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
        if admitted is None:
            return
        waiters = self._runtime.gate.leave(admitted, self._heard)
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


def _asked(runtime: Runtime, run_id: str, step_index: int, look: Row) -> tuple[Bulkhead, Visitor] | None:
    declaration = runtime.registry.agents.get(look["agent"])
    if declaration is None or look["bulkhead"] is None:
        return None
    if look["tool_name"] == MODEL and isinstance(declaration, Agent):
        bulkhead = Bulkhead(declaration.bulkhead, declaration.depends_on or declaration.bulkhead, declaration.limits)
        keys, timeout_s = declaration.rate_keys(look["user_id"]), declaration.model_timeout_s
    elif (tool := declaration.tools.get(look["tool_name"])) is not None:
        if tool.cache and _is_cached(runtime, run_id, tool, look):
            return None
        bulkhead = Bulkhead(tool.name, tool.depends_on or tool.name, tool.limits)
        keys, timeout_s = tool.rate_keys(look["tool_input"], look["user_id"]), tool.timeout_s
    else:
        return None
    visitor = Visitor(
        run_id=run_id,
        step_index=step_index,
        holder=runtime.worker.worker_id,
        lease_s=timeout_s + RECORD_MARGIN_S,
        is_retry=look["attempt"] > 0,
        rate_keys=keys,
        pool_slots=runtime.pool_slots,
    )
    return bulkhead, visitor


def _is_cached(runtime: Runtime, run_id: str, tool: Tool[..., object], look: Row) -> bool:
    found = runtime.database.glance(lambda tx: steps.cached_output(tx, run_id, tool.name, look["args_hash"]))
    return found is not None


def _park(runtime: Runtime, run_id: str, step_index: int, reason: str, after_s: float) -> Refused:
    if reason == Denial.POOL_FULL:
        # Another process of this very worker will be free in a moment: the run is as little waiting as in its queue.
        runtime.database.glance(lambda tx: steps.park_aside(tx, run_id, step_index, reason, after_s))
    else:
        _park_run(runtime, run_id, step_index, reason, after_s)
    log.info("denied", run_id=run_id, step_index=step_index, reason=str(reason), after_s=round(after_s, 3))
    return Refused(ClaimAnswer.DENIED, str(reason))


def _park_run(runtime: Runtime, run_id: str, step_index: int, reason: str, after_s: float) -> None:
    def body(tx: Transaction) -> None:
        locked = runs.lock(tx, run_id)
        step = steps.lock(tx, run_id, step_index) if locked else None
        if locked is None or step is None or step.status is not StepStatus.PENDING:
            return
        steps.park(tx, step, reason, after_s)
        settle_standing(tx, locked[0], reason, step_index)

    runtime.database.atomically(body)
