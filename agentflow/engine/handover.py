"""The one external call of a delivery, and what it came to."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic_core import to_jsonable_python

from agentflow.declare.delivery import DeliveryKind
from agentflow.domain import payload
from agentflow.domain.delivery import ClaimedDelivery
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Completed, Failed
from agentflow.engine.interrupting import CallOverran, limited
from agentflow.engine.runtime import Runtime
from agentflow.policy.taxonomy import classify_with

log = structlog.get_logger("agentflow.outbox")

# Of what the other side said, so much is kept.
_LONGEST_RESPONSE = 16_384


def deliver(runtime: Runtime, kind: DeliveryKind, claimed: ClaimedDelivery, *, until: float) -> Completed | Failed:
    """Hand a message over and return what came of it; `until` is when this process must be dead in any case."""
    try:
        with _limit(runtime, kind, until):
            answered = kind.deliver(claimed.delivery)
    except CallOverran:
        return Failed(ErrorKind.TIMEOUT, f"no answer within {kind.timeout_s:g} s", None)
    except Exception as error:  # noqa: BLE001 - whatever it raises is an outcome
        return _failed(runtime, kind, claimed, error)
    return Completed(_kept(kind, answered))


def _limit(runtime: Runtime, kind: DeliveryKind, until: float) -> AbstractContextManager[None]:
    # Others share a thread pool's process: there, clients need timeouts of their own.
    return limited(runtime.timer, kind.timeout_s, until=until) if runtime.isolated else nullcontext()


def _failed(runtime: Runtime, kind: DeliveryKind, claimed: ClaimedDelivery, error: Exception) -> Failed:
    failed = classify_with(None, error, now=datetime.now(UTC))
    if failed.kind == ErrorKind.BUG:
        own = claimed.attempt
        log.error("delivery_raised", kind=kind.name, message_id=own.message_id, exc_info=error)
        runtime.report_bug(error, run_id=own.run_id, step_index=own.step_index, tool=kind.bulkhead)
    return failed


def _kept(kind: DeliveryKind, answered: Any) -> Any:
    """Return a response as it is stored. It was delivered, whatever can be kept of that."""
    try:
        clean = payload.sanitise(to_jsonable_python(answered)).value
        text = payload.dumps(clean)
    except (PayloadRefused, ValueError) as error:
        log.warning("response_not_kept", kind=kind.name, error=str(error))
        return {"not_kept": type(error).__name__}
    return clean if len(text) <= _LONGEST_RESPONSE else {"shortened": text[:_LONGEST_RESPONSE]}
