"""Agents whose steps take long enough for a deploy to meet them in the middle."""

from __future__ import annotations

import threading

from agentflow import Agent, Context, Pipeline, tool
from tests.integration.workers.agents.outside import arrive
from tests.integration.workers.agents.shop import charge, price

_CARRYING_S = 0.8


@tool(effect="unsafe", timeout_s=30)
def carry(ctx: Context, load: str) -> str:
    """Carry a load, which takes its time and cannot be taken back."""
    arrive(ctx, "carry", load=load)
    threading.Event().wait(_CARRYING_S)
    return f"carried {load}"


@tool(effect="keyed", timeout_s=30)
def bill(ctx: Context, load: str) -> str:
    """Bill a load; the bank honours the key."""
    arrive(ctx, "bill", load=load)
    return f"{ctx.idempotency_key}: {load}"


@tool(effect="unsafe", timeout_s=30)
def unload(ctx: Context, load: str) -> str:
    """Unload a load, which takes its time and cannot be taken back."""
    arrive(ctx, "unload", load=load)
    threading.Event().wait(_CARRYING_S)
    return f"unloaded {load}"


hauls = Pipeline("hauls", [carry, bill, unload])
broker = Agent("broker", model="openai:gpt-4o-mini", instructions="You take orders.", tools=[price, charge])
