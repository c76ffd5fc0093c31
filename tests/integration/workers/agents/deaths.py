"""Agents whose tools are caught by death in the middle of their call: one of each class, and one that kills itself."""

from __future__ import annotations

import os
import signal

from sqlalchemy import text

from agentflow import Context, Happened, NotHappened, Pipeline, tool
from tests.integration.workers.agents.outside import arrivals, arrive, wait_at

_ENTER = text("insert into public.entries (run_id, step_index, attempt) values (:run_id, :step_index, :attempt)")
FIRST_TRY = "first-try"
SETTLE_S = 1.0


def _act(ctx: Context, name: str) -> str:
    """Let it happen, then be held: whoever dies here has done it and could tell nobody."""
    arrive(ctx, name)
    if ctx.attempt == 1:
        wait_at(FIRST_TRY)
    return f"{name} in attempt {ctx.attempt}"


@tool(effect="read", timeout_s=60)
def look(ctx: Context) -> str:
    """Change nothing."""
    return _act(ctx, "look")


@tool(effect="keyed", timeout_s=60)
def pay(ctx: Context) -> str:
    """Happen once per key, as the bank sees it."""
    assert ctx.idempotency_key
    return _act(ctx, "pay")


@tool(effect="transactional", timeout_s=60)
def book(ctx: Context) -> str:
    """Happen in the recording transaction alone."""
    values = {"run_id": ctx.run.run_id, "step_index": ctx.step_index, "attempt": ctx.attempt}
    ctx.connection.execute(_ENTER, values)
    return _act(ctx, "book")


@tool(effect="idempotent", timeout_s=4)
def switch(ctx: Context) -> str:
    """Happen twice as if once, but not late."""
    return _act(ctx, "switch")


@tool(effect="unsafe", timeout_s=4)
def mail(ctx: Context) -> str:
    """Happen each time it is called."""
    return _act(ctx, "mail")


@tool(effect="verified", timeout_s=4, settle_s=SETTLE_S)
def wire(ctx: Context) -> str:
    """Happen each time it is called; somebody can be asked whether it did."""
    return _act(ctx, "wire")


@wire.verify
def is_wired(ctx: Context) -> Happened[str] | NotHappened:
    """Look for the call in the world."""
    return _ask(ctx, "wire")


@tool(effect="verified", timeout_s=4, settle_s=SETTLE_S)
def order(ctx: Context) -> str:
    """Be held before it happens: whoever dies here has done nothing and could tell nobody."""
    arrive(ctx, "order")
    if ctx.attempt == 1:
        wait_at(FIRST_TRY)
    arrive(ctx, "ordered")
    return f"order in attempt {ctx.attempt}"


@order.verify
def is_ordered(ctx: Context) -> Happened[str] | NotHappened:
    """Look for the effect in the world."""
    return _ask(ctx, "ordered")


def _ask(ctx: Context, name: str) -> Happened[str] | NotHappened:
    arrive(ctx, f"{name}.asked")
    found = [each for each in arrivals(name) if each["key"] == ctx.idempotency_key]
    return Happened("found in the world") if found else NotHappened()


@tool(effect="idempotent", timeout_s=1)
def freeze(ctx: Context) -> str:
    """Happen twice as if once, within a short lease."""
    return _act(ctx, "freeze")


@tool(effect="read", timeout_s=60)
def die(ctx: Context) -> str:
    """Kill the process that runs it, every time."""
    arrive(ctx, "die")
    os.kill(os.getpid(), signal.SIGKILL)
    return "never said"


@tool(effect="unsafe")
def greet(ctx: Context, name: str) -> str:
    """Be somebody else's run, which no death may touch."""
    arrive(ctx, "greet", name=name)
    return f"hello {name}"


looking = Pipeline("look", [look])
paying = Pipeline("pay", [pay])
booking = Pipeline("book", [book])
switching = Pipeline("switch", [switch])
mailing = Pipeline("mail", [mail])
wiring = Pipeline("wire", [wire])
ordering = Pipeline("order", [order])
freezing = Pipeline("freeze", [freeze])
dying = Pipeline("die", [die])
greeting = Pipeline("greet", [greet])
