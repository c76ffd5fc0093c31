"""The one external call of a tool step, and what it came to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from agentflow.declare.context import Context, Outbox, Scratchpad
from agentflow.declare.resource import Resource
from agentflow.declare.tool import Tool
from agentflow.domain import payload
from agentflow.domain.claim import Claim
from agentflow.domain.errors import PayloadRefused, ToolError
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, OutboxMessage
from agentflow.engine.runtime import Runtime
from agentflow.policy.happening import happened
from agentflow.store.database import is_passing

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = structlog.get_logger("agentflow.tool")


def call_tool(
    runtime: Runtime, claim: Claim, tool: Tool[Any, Any], connection: Connection | None = None
) -> AttemptOutcome:
    """Call a tool and return what came of it; whatever it raises is an outcome too.

    Only a passing failure of the recording transaction is raised: it is begun again, and the tool with it.
    """
    try:
        arguments = tool.signature.parse(claim.step.input)
    except ValueError as error:
        return Failed("bad_input", f"the arguments of {tool.name!r} do not fit: {error}", happened=False)
    return _call(claim, tool, _context(runtime, claim, tool, connection), arguments)


def _call(claim: Claim, tool: Tool[Any, Any], context: Context, arguments: dict[str, Any]) -> AttemptOutcome:
    effect = claim.step.effect
    try:
        returned = tool.call(context, arguments)
    except ToolError as error:
        return Failed("tool_error", str(error), happened(effect, said=error.happened))
    except Exception as error:
        if context.recording_connection is not None and is_passing(error):
            raise
        context.logger.exception("tool_raised", tool=tool.name)
        return Failed("bug", f"{type(error).__name__}: {error}", happened(effect, said=None))
    try:
        return _completed(tool.as_json(returned), context)
    except PayloadRefused as error:
        return Failed("bad_output", f"what {tool.name!r} gave cannot be kept: {error}", happened(effect, said=True))


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

    return Context(
        run=claim.run,
        step_index=claim.step.step_index,
        attempt=claim.attempt,
        idempotency_key=claim.step.idempotency_key,
        deadline_at=_deadline(claim),
        logger=log.bind(run_id=claim.run.run_id, step_index=claim.step.step_index, attempt=claim.attempt),
        open_resource=open_resource,
        scratchpad=Scratchpad(claim.run.scratchpad),
        outbox=Outbox(),
        recording_connection=connection,
    )


def _deadline(claim: Claim) -> datetime:
    end = claim.claimed_at + timedelta(seconds=claim.step.timeout_s)
    return min(end, claim.run.deadline_at or datetime.max.replace(tzinfo=UTC))
