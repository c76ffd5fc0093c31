"""Owns the agents that the benchmark's workers serve: one whose steps do nothing, and three that are held in a step."""

from __future__ import annotations

from threading import Event

from sqlalchemy import text

from agentflow import Context, Pipeline, tool

STEPS = 5
HELD = ("read", "transactional", "keyed")

_HELD_S = 50.0
_TIMEOUT_S = 60.0


def pass_on(number: int) -> int:
    """Answer what was given."""
    return number


line = Pipeline("line", [tool(effect="read", name=f"pass_on_{place}")(pass_on) for place in range(STEPS)])


@tool(effect="read", timeout_s=_TIMEOUT_S)
def held_read(ctx: Context) -> str:
    """Stay, in the first attempt."""
    return _hold(ctx)


@tool(effect="transactional", timeout_s=_TIMEOUT_S)
def held_transactional(ctx: Context) -> str:
    """Stay with a transaction open, in the first attempt."""
    ctx.connection.execute(text("select 1"))
    return _hold(ctx)


@tool(effect="keyed", timeout_s=_TIMEOUT_S)
def held_keyed(ctx: Context) -> str:
    """Stay, in the first attempt."""
    return f"{_hold(ctx)} {ctx.idempotency_key}"


read = Pipeline("read", [held_read])
transactional = Pipeline("transactional", [held_transactional])
keyed = Pipeline("keyed", [held_keyed])


def _hold(ctx: Context) -> str:
    if ctx.attempt == 1:
        # The worker is killed long before this is over.
        Event().wait(_HELD_S)
    return "again"
