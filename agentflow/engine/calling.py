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
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed
from agentflow.domain.step import Effect
from agentflow.engine.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = structlog.get_logger("agentflow.tool")


def call_tool(
    runtime: Runtime, claim: Claim, tool: Tool[Any, Any], connection: Connection | None = None
) -> AttemptOutcome:
    """Call a tool and return what came of it; whatever it raises is an outcome too."""
    context = _context(runtime, claim, tool, connection)
    try:
        result = payload.sanitise(tool.run(context, claim.step.input))
        scratchpad = payload.sanitise(context.scratchpad.changes)
    except ToolError as error:
        return Failed("tool_error", str(error), happened=_happened(claim.step.effect, said=error.happened))
    except PayloadRefused as error:
        happened = None if claim.step.effect is not Effect.READ else False
        return Failed("bad_output", f"the result of {tool.name!r} cannot be kept: {error}", happened)
    except Exception as error:
        context.logger.exception("tool_raised", tool=tool.name)
        return Failed("bug", f"{type(error).__name__}: {error}", happened=_happened(claim.step.effect, said=None))
    flags = sorted({*result.flags, *scratchpad.flags})
    return Completed(result.value, scratchpad=scratchpad.value, outbox=context.outbox.messages, flags=flags)


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


def _happened(effect: Effect, *, said: bool | None) -> bool | None:
    # A read changes nothing, and a transactional tool's writes are rolled back with its failure.
    return False if effect in {Effect.READ, Effect.TRANSACTIONAL} else said
