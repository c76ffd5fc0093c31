"""What the victims run: a tool of each class of effect, and the agents and pipelines that bring it to its point."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx2

from agentflow import Agent, Client, Context, Happened, NotHappened, Pipeline, ToolError, tool
from agentflow.declare.limits import Breaker, Limits
from agentflow.domain.errors import InterventionRefused
from agentflow.settings import settings
from tests.crashpoints.seam import seam
from tests.integration.outside import NO_TLS

TIMEOUT_S = 2.0
SETTLE_S = 0.3
# Many cases share a bulkhead for a moment: no case may be denied because of the others.
FREE = Limits(slots=1000, breaker=Breaker(failures=1_000_000), retry_share=1.0, retry_floor=100_000)
ALL: Any = {"timeout_s": TIMEOUT_S, "limits": FREE}
NO_WAY_BACK = {"no_compensation": "what becomes of a run that fails is shown by `undo`"}


def post(ctx: Context, url: str, **body: Any) -> Any:
    """Call one of the world's doors under the step's key."""
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return httpx2.post(url, json=body, headers=headers, timeout=TIMEOUT_S, verify=NO_TLS).raise_for_status().json()


@tool(effect="read", **ALL)
def look(ctx: Context, url: str, item: str) -> Any:
    """Look an item up."""
    return post(ctx, f"{url}/read/look", item=item)


@tool(effect="read", **ALL)
def peek(ctx: Context, url: str, item: str) -> Any:
    """Look at an item before anything else."""
    return post(ctx, f"{url}/read/peek", item=item)


@tool(effect="transactional", **ALL)
def enter(ctx: Context, item: str) -> str:
    """Write a line into the ledger."""
    statement = "insert into public.ledger (key, run_id, step_index) values (%s, %s, %s)"
    ctx.connection.exec_driver_sql(statement, (ctx.idempotency_key, ctx.run.run_id, ctx.step_index))
    ctx.scratchpad["entered"] = item
    return item


@tool(effect="keyed", key="reserve:{item}", **ALL)
def reserve(ctx: Context, url: str, item: str) -> Any:
    """Reserve an item, and tell of it."""
    reserved = post(ctx, f"{url}/keyed/reserve", item=item)
    ctx.outbox.email(to="customer@example.com", subject="Reserved", body=item)
    ctx.outbox.webhook(f"{url}/hooks/reserved", {"item": item})
    return reserved


@reserve.compensate
def release(ctx: Context, reserved: Any, url: str, item: str) -> Any:
    return post(ctx, f"{url}/undo/reserve", subject=ctx.subject_key)


@tool(effect="idempotent", **ALL, **NO_WAY_BACK)
def label(ctx: Context, url: str, item: str) -> Any:
    """Set an item's label."""
    return post(ctx, f"{url}/idempotent/label/{item}", label="sold")


@tool(effect="verified", settle_s=SETTLE_S, **ALL, **NO_WAY_BACK)
def charge(ctx: Context, url: str, item: str) -> Any:
    """Charge for an item."""
    return post(ctx, f"{url}/verified/charge", item=item)


@charge.verify
def was_charged(ctx: Context, url: str) -> Any:
    return found(ctx, f"{url}/verified/charge")


@tool(effect="verified", settle_s=SETTLE_S, **ALL, **NO_WAY_BACK)
def charge_badly(ctx: Context, url: str, item: str, arrives: bool) -> Any:
    """Charge for an item, and lose the first answer, or the first request."""
    if ctx.attempt > 1 or arrives:
        answer = post(ctx, f"{url}/verified/charge_badly", item=item)
    if ctx.attempt == 1:
        raise httpx2.ReadError("the connection was cut")
    return answer


@charge_badly.verify
def was_charged_badly(ctx: Context, url: str) -> Any:
    return found(ctx, f"{url}/verified/charge_badly")


def found(ctx: Context, url: str) -> Any:
    """Ask the world whether a call happened."""
    answer = httpx2.get(f"{url}/{ctx.idempotency_key}", timeout=TIMEOUT_S, verify=NO_TLS)
    if answer.status_code == httpx2.codes.NOT_FOUND:
        return NotHappened()
    return Happened(answer.raise_for_status().json())


@tool(effect="unsafe", no_approval="the crash points of a call that nobody approves", **ALL, **NO_WAY_BACK)
def ship(ctx: Context, url: str, item: str) -> Any:
    """Ship an item."""
    return post(ctx, f"{url}/unsafe/ship", item=item)


@tool(effect="unsafe", approval=True, **ALL, **NO_WAY_BACK)
def give(ctx: Context, url: str, item: str) -> Any:
    """Give an item away, once a person has approved it."""
    return post(ctx, f"{url}/unsafe/give", item=item)


@tool(effect="read", **ALL)
def stumble(ctx: Context, url: str, item: str) -> Any:
    """Fail the first time, in passing."""
    if ctx.attempt == 1:
        raise ToolError("busy", kind="transient", happened=False)
    return post(ctx, f"{url}/read/stumble", item=item)


@tool(effect="read", **ALL)
def refuse(item: str) -> str:
    """Refuse an item for good."""
    raise ToolError(f"{item} is refused", kind="bad_input", happened=False)


@tool(effect="read", **ALL)
def call_off(ctx: Context, item: str) -> str:
    """Have somebody cancel the run meanwhile, unless that is done."""
    with seam.passing_over(), suppress(InterventionRefused), Client(settings()) as client:
        client.operations.cancel(ctx.run.run_id, by="ann")
    return item


@tool(effect="read", **ALL)
def write_letters(ctx: Context, item: str) -> str:
    """Queue two e-mails."""
    for number in (1, 2):
        ctx.outbox.email(to="customer@example.com", subject=f"Letter {number}", body=item)
    return item


@tool(effect="read", **ALL)
def call_hooks(ctx: Context, url: str, item: str) -> str:
    """Queue two webhooks."""
    for number in (1, 2):
        ctx.outbox.webhook(f"{url}/hooks/told", {"item": item, "number": number})
    return item


def then_look(name: str, *tools: Any, **given: Any) -> Pipeline:
    """A pipeline that goes on after what is shown, so that a run that sleeps for ever is seen."""
    return Pipeline(name, [*tools, look], **given)


reading = then_look("reading", peek)
finishing = Pipeline("finishing", [look])
entering = then_look("entering", enter)
reserving = then_look("reserving", reserve)
labelling = then_look("labelling", label)
charging = then_look("charging", charge)
charging_badly = then_look("charging_badly", charge_badly)
shipping = then_look("shipping", ship)
giving = then_look("giving", give)
stumbling = then_look("stumbling", stumble)
undoing = Pipeline("undoing", [reserve, refuse])
mixing = then_look("mixing", peek, ship, reserve)
entering_first = then_look("entering_first", enter, charge, label)
called_off = then_look("called_off", call_off, ship)
lettering = Pipeline("lettering", [write_letters])
hooking = Pipeline("hooking", [call_hooks])
thinking = Agent("thinking", model="openai:gpt-4o-mini", tools=[look, enter], model_timeout_s=TIMEOUT_S, limits=FREE)
