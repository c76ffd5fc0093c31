"""The first release of two agents: a pipeline of two steps, and a desk with a short prompt."""

from __future__ import annotations

from agentflow import Agent, Context, Pipeline, tool
from tests.integration.workers.agents.outside import arrive, wait_at
from tests.integration.workers.agents.shop import price

COLLECTED = "collected"


@tool(effect="unsafe", timeout_s=30)
def collect(ctx: Context, parcel: str) -> str:
    """Collect a parcel, when the test lets it."""
    arrive(ctx, "collect", parcel=parcel)
    wait_at(COLLECTED)
    return f"collected {parcel}"


@tool(effect="unsafe", timeout_s=30)
def deliver(ctx: Context, parcel: str) -> str:
    """Deliver a parcel, which cannot be taken back."""
    arrive(ctx, "deliver", parcel=parcel)
    return f"delivered {parcel}"


courier = Pipeline("courier", [collect, deliver])
desk = Agent("desk", model="openai:gpt-4o-mini", instructions="You take orders.", tools=[price])
