"""The one external call of a tool step, and what it came to."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from agentflow.declare.context import Context, Scratchpad
from agentflow.declare.outbox import Outbox
from agentflow.declare.resource import Resource
from agentflow.declare.tool import Tool
from agentflow.domain import payload
from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, OutboxMessage
from agentflow.domain.step import CLEARING, VERIFY
from agentflow.engine.callee import as_json, call_of
from agentflow.engine.claiming import Claimed
from agentflow.engine.credentials import read_secret
from agentflow.engine.deadman import TIMER_MARGIN_S
from agentflow.engine.interrupting import CallOverran, limited
from agentflow.engine.runtime import Runtime
from agentflow.policy.happening import happened
from agentflow.policy.taxonomy import classify_with
from agentflow.policy.taxonomy.excerpt import describe, text_of
from agentflow.store.database import is_passing

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = structlog.get_logger("agentflow.tool")


def call_tool(
    runtime: Runtime, claimed: Claimed, tool: Tool[Any, Any], connection: Connection | None = None
) -> AttemptOutcome:
    """Call a tool and return what came of it; whatever it raises is an outcome too, and so is taking too long.

    Only a passing failure of the recording transaction is raised: it is begun again, and the tool with it.
    """
    claim = claimed.claim
    runtime.credentials.begin_call()
    try:
        call = call_of(tool, claim.step)
    except ValueError as error:
        return Failed("bad_input", f"the arguments of {tool.name!r} do not fit: {text_of(error)}", happened=False)
    context = _context(runtime, claim, tool, connection)
    effect = claim.step.effect
    try:
        with call_limit(runtime, claimed):
            returned = call(context)
    except CallOverran:
        return Failed(ErrorKind.TIMEOUT, f"no answer within {claim.call_s:g} s", happened(effect, said=None))
    except Exception as error:
        if connection is not None and is_passing(error):
            raise
        return _failed(runtime, claim, tool, context, error)
    return _kept(tool, claim.step, context, returned)


def call_limit(runtime: Runtime, claimed: Claimed) -> AbstractContextManager[None]:
    """Return what ends a call that takes too long. Other steps share a thread pool's process: there, nothing can."""
    if not runtime.isolated:
        return nullcontext()
    return limited(runtime.timer, claimed.claim.call_s, until=claimed.local_deadline - TIMER_MARGIN_S)


def _failed(runtime: Runtime, claim: Claim, tool: Tool[Any, Any], context: Context, error: Exception) -> Failed:
    failed = classify_with(tool.classify, error, now=datetime.now(UTC))
    if failed.kind == ErrorKind.BUG:
        context.logger.error("tool_raised", tool=tool.name, exc_info=error)
        runtime.report_bug(error, run_id=claim.run.run_id, step_index=claim.step.step_index, tool=tool.name)
    return replace(failed, happened=happened(claim.step.effect, said=failed.happened))


def _kept(tool: Tool[Any, Any], step: LockedStep, context: Context, returned: Any) -> AttemptOutcome:
    try:
        return _completed(as_json(tool, step, returned), context)
    except Exception as error:  # noqa: BLE001 - a type of the user's own may raise anything when it is read
        took_effect = happened(step.effect, said=True)
        why = text_of(error) if isinstance(error, PayloadRefused) else describe(error)
        return Failed("bad_output", f"what {tool.name!r} gave cannot be kept: {why}", took_effect)


def _completed(result: Any, context: Context) -> Completed:
    clean = payload.sanitise(result)
    scratchpad = payload.sanitise(context.scratchpad.changes)
    messages = [(each.kind, payload.sanitise(each.payload)) for each in context.outbox.messages]
    return Completed(
        clean.value,
        scratchpad=scratchpad.value,
        outbox=tuple(OutboxMessage(kind, each.value) for kind, each in messages),
        flags=tuple(sorted({*clean.flags, *scratchpad.flags, *(flag for _, each in messages for flag in each.flags)})),
    )


def _context(runtime: Runtime, claim: Claim, tool: Tool[Any, Any], connection: Connection | None) -> Context:
    def open_resource(resource: Resource[Any]) -> Any:
        return runtime.resources.get(resource, tool.name)

    subject_key = claim.step.input["key"] if claim.step.tool_name in CLEARING else ""
    return Context(
        run=claim.run,
        step_index=claim.step.step_index,
        attempt=claim.attempt,
        idempotency_key=subject_key if claim.step.tool_name == VERIFY else claim.step.sent_key,
        deadline_at=_deadline(claim),
        logger=log.bind(run_id=claim.run.run_id, step_index=claim.step.step_index, attempt=claim.attempt),
        open_resource=open_resource,
        scratchpad=Scratchpad(claim.run.scratchpad),
        outbox=Outbox(runtime.deliveries),
        recording_connection=connection,
        read_secret=partial(read_secret, runtime),
        subject_key=subject_key or None,
    )


def _deadline(claim: Claim) -> datetime:
    if claim.run.deadline_at is not None and claim.call_s < claim.step.timeout_s:
        return claim.run.deadline_at
    return claim.claimed_at + timedelta(seconds=claim.call_s)
