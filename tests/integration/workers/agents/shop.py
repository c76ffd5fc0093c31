"""Agents whose tools are quick: a pipeline through four classes, a clerk with a model, what can go wrong."""

from __future__ import annotations

from sqlalchemy import text

from agentflow import Agent, Budget, Context, Pipeline, ToolError, tool
from tests.integration.workers.agents.outside import arrive, wait_at

_ENTER = text("insert into public.entries (run_id, step_index, attempt) values (:run_id, :step_index, :attempt)")


@tool(effect="read")
def price(ctx: Context, order: str) -> int:
    """Look up the price of an order."""
    arrive(ctx, "price", order=order)
    return len(order) * 100


@tool(effect="keyed")
def charge(ctx: Context, order: str, price: int) -> str:
    """Charge the customer; the bank honours the key."""
    arrive(ctx, "charge", order=order)
    return f"{ctx.idempotency_key}: {price}"


@tool(effect="transactional")
def enter(ctx: Context, order: str) -> str:
    """Enter the order into the books."""
    values = {"run_id": ctx.run.run_id, "step_index": ctx.step_index, "attempt": ctx.attempt}
    ctx.connection.execute(_ENTER, values)
    return order


@tool(effect="unsafe")
def announce(ctx: Context, order: str) -> str:
    """Announce the order to the world, which cannot be taken back or asked about."""
    arrive(ctx, "announce", order=order)
    return f"announced {order}"


@tool(effect="read")
def refuse(ctx: Context, order: str) -> str:
    """Fail, with a message that holds what the customer said."""
    arrive(ctx, "refuse", order=order)
    raise ToolError(f"there is no order {order!r}", happened=False)


@tool(effect="keyed", key="seat:{seat}")
def reserve(ctx: Context, seat: str) -> str:
    """Reserve a seat once, whoever asks, when the test lets it."""
    arrive(ctx, "reserve", seat=seat)
    wait_at(f"reserve-{seat}")
    return f"{ctx.idempotency_key} is reserved"


@tool(effect="unsafe", timeout_s=30)
def pack(ctx: Context, order: str) -> str:
    """Pack for as long as the test wants."""
    arrive(ctx, "pack", order=order)
    wait_at("packed")
    return f"packed {order}"


orders = Pipeline("orders", [price, charge, enter, announce])
refusals = Pipeline("refusals", [refuse])
seats = Pipeline("seats", [reserve])
parcels = Pipeline("parcels", [pack, announce])
clerk = Agent(
    "clerk",
    model="openai:gpt-4o-mini",
    instructions="You take orders.",
    tools=[price, charge],
    budget=Budget(steps=20),
)
