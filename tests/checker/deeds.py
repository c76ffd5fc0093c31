"""Tools of every class of effect whose world is a list of arrivals, and the agents that call them."""

from __future__ import annotations

import time

from sqlalchemy import text

from agentflow import Agent, Context, Happened, NotHappened, Pipeline, ToolError, tool
from tests.world.arrival import Arrival

OUTSIDE: list[Arrival] = []
MODEL = "openai:gpt-4o-mini"


def arrive(door: str, name: str, key: str, *, subject: str = "", deduped: bool = False) -> None:
    """Let a call come in; where the door dedupes, only the first under a key has an effect."""
    is_repeat = deduped and any((each.door, each.key) == (door, key) for each in OUTSIDE)
    OUTSIDE.append(Arrival(time.time(), door, name, key, effect=not is_repeat, body="b", subject=subject))


@tool(effect="read")
def look_up(order_id: str) -> dict[str, str]:
    """Look an order up."""
    return {"order_id": order_id, "state": "paid"}


@tool(effect="keyed", key="charge:{order_id}")
def charge(ctx: Context, order_id: str) -> str:
    """Charge a customer."""
    arrive("keyed", "charge", ctx.idempotency_key, deduped=True)
    return f"charged {order_id}"


@charge.compensate
def give_back(ctx: Context, charged: str, order_id: str) -> None:
    """Give the money back."""
    arrive("undo", "charge", ctx.idempotency_key, subject=ctx.subject_key or "", deduped=True)


@tool(effect="idempotent", no_compensation="the next state overwrites it")
def set_state(ctx: Context, order_id: str) -> str:
    """Set an order's state."""
    arrive("idempotent", "set_state", ctx.idempotency_key, subject=order_id)
    return f"set {order_id}"


@tool(effect="verified", settle_s=0.1, no_compensation="what is booked is cancelled by hand")
def book(ctx: Context, order_id: str) -> dict[str, str]:
    """Book a courier."""
    arrive("verified", "book", ctx.idempotency_key)
    return {"booked": order_id}


@book.verify
def was_booked(ctx: Context, order_id: str) -> Happened[dict[str, str]] | NotHappened:
    """Ask whether the courier is booked."""
    assert ctx.subject_key is not None
    arrived = any((each.door, each.key) == ("verified", ctx.subject_key) for each in OUTSIDE)
    return Happened({"booked": order_id}) if arrived else NotHappened()


@tool(effect="unsafe", no_compensation="a parcel that has left is not called back")
def send_parcel(ctx: Context, order_id: str) -> str:
    """Send a parcel."""
    arrive("unsafe", "send_parcel", ctx.idempotency_key)
    return f"sent {order_id}"


@tool(effect="transactional", no_compensation="the ledger keeps every line")
def enter(ctx: Context, order_id: str) -> str:
    """Enter an order into the ledger, and tell of it."""
    values = {"key": ctx.idempotency_key, "run_id": ctx.run.run_id, "step_index": ctx.step_index}
    ctx.connection.execute(text("insert into public.ledger values (:key, :run_id, :step_index)"), values)
    ctx.outbox.email(to="ann@example.com", subject=order_id, body="It is entered.")
    ctx.outbox.webhook("https://example.com/hook", {"order_id": order_id})
    return f"entered {order_id}"


@tool(effect="unsafe", approval=True, no_compensation="a gift is a gift")
def give_away(ctx: Context, order_id: str) -> str:
    """Give something away."""
    arrive("unsafe", "give_away", ctx.idempotency_key)
    return "given"


@tool(effect="keyed", no_compensation="nothing comes of it")
def refuse(ctx: Context, order_id: str) -> str:
    """Be refused for good."""
    OUTSIDE.append(Arrival(time.time(), "keyed", "refuse", ctx.idempotency_key, body="b", answered="422"))
    raise ToolError("no", kind="bad_input", happened=False)


TOOLS = [look_up, charge, set_state, book, send_parcel, enter]
errands = Agent("errands", model=MODEL, tools=TOOLS)
parcels = Agent("parcels", model=MODEL, tools=[send_parcel])
gifts = Agent("gifts", model=MODEL, tools=[give_away])
bookings = Agent("bookings", model=MODEL, tools=[book])
buying = Pipeline("buying", [charge, refuse])
keeping = Pipeline("keeping", [charge, refuse], on_failure="keep")
charging = Pipeline("charging", [charge])
