"""The second release of them: a step in the middle, a step at the end, another tool and another prompt."""

from __future__ import annotations

from agentflow import Agent, Context, Pipeline, tool
from tests.integration.workers.agents.first_release import collect, deliver
from tests.integration.workers.agents.outside import arrive
from tests.integration.workers.agents.shop import charge, price


@tool(effect="keyed")
def weigh(ctx: Context, parcel: str) -> int:
    """Weigh a parcel."""
    arrive(ctx, "weigh", parcel=parcel, key=ctx.idempotency_key)
    return len(parcel)


@tool(effect="unsafe")
def thank(ctx: Context, parcel: str) -> str:
    """Thank the customer, which cannot be taken back."""
    arrive(ctx, "thank", parcel=parcel)
    return f"thanked for {parcel}"


courier = Pipeline("courier", [collect, weigh, deliver, thank])
desk = Agent(
    "desk",
    model="openai:gpt-4o-mini",
    instructions="You take orders, and charge for them.",
    tools=[price, charge],
)
