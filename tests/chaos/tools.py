"""Owns the tools of the load: of each effect class, with what undoes them or asks after them, all at the world."""

from __future__ import annotations

from typing import Any

import httpx2
from sqlalchemy import text

from agentflow import Context, Delivery, Happened, NotHappened, ToolError, ask_person, delivery, tool
from tests.chaos.outside import CLIENT_TIMEOUT_S, LIMITS, SETTLE_S, TIMEOUT_S, ask, call, hooks_url, token, undo

LARGE_CENTS = 5_000

_ENTER = text("insert into public.ledger (key, run_id, step_index) values (:key, :run_id, :step_index)")
_USUAL: dict[str, Any] = {"timeout_s": TIMEOUT_S, "limits": LIMITS, "credential": token}


@tool(effect="read", **_USUAL)
def look(ctx: Context, item: str) -> str:
    """Look an item up."""
    return call(ctx, "read", "look", {"item": item})


@tool(effect="read", cache=True, **_USUAL)
def glance(ctx: Context, item: str) -> str:
    """Look an item up, once in a run."""
    return call(ctx, "read", "glance", {"item": item})


@tool(effect="read", **_USUAL)
def refuse(ctx: Context, item: str) -> str:
    """Fail for certain, after everything else was done."""
    call(ctx, "read", "refuse", {"item": item})
    raise ToolError(f"there is no {item!r} left", happened=False)


@tool(effect="transactional", timeout_s=TIMEOUT_S, limits=LIMITS, no_compensation="what was written was meant")
def enter(ctx: Context, item: str) -> str:
    """Enter an item into the ledger, and tell everybody."""
    _write(ctx)
    ctx.outbox.email(to=f"{item}@customers.example", subject=f"Your {item}", body=f"{item}: {ctx.idempotency_key}")
    ctx.outbox.webhook(f"{hooks_url()}/shop", {"item": item, "key": ctx.idempotency_key})
    ctx.outbox.send("sms", {"item": item})
    return f"{item} entered"


@tool(effect="transactional", timeout_s=TIMEOUT_S, limits=LIMITS, no_compensation="what was written was meant")
def fax(ctx: Context, item: str) -> str:
    """Tell somebody by a machine that can't be asked, and repeats what it is given."""
    _write(ctx)
    ctx.outbox.send("fax", {"item": item, "key": ctx.idempotency_key})
    return f"{item} faxed"


@tool(effect="keyed", **_USUAL)
def pay(ctx: Context, item: str, cents: int) -> str:
    """Pay for an item."""
    return call(ctx, "keyed", "pay", {"item": item, "cents": cents})


@pay.compensate(effect="keyed", timeout_s=TIMEOUT_S)
def give_back(ctx: Context, paid: str | None) -> None:
    """Give the money back."""
    undo(ctx, "pay")


@tool(effect="keyed", key="seat:{seat}", **_USUAL)
def book(ctx: Context, seat: str) -> str:
    """Book a seat, whoever asks for it first."""
    return call(ctx, "keyed", "book", {"seat": seat})


@book.compensate(effect="keyed", timeout_s=TIMEOUT_S)
def cancel_seat(ctx: Context, booked: str | None) -> None:
    """Give the seat back."""
    undo(ctx, "book")


@tool(effect="keyed", verify_after=True, settle_s=SETTLE_S, no_compensation="it is on its way", **_USUAL)
def ship(ctx: Context, item: str) -> str:
    """Ship an item, and see whether it is on its way."""
    return call(ctx, "keyed", "ship", {"item": item})


@ship.verify
def is_shipped(ctx: Context) -> Happened[str] | NotHappened:
    """Ask for the parcel."""
    return ask(ctx, "ship")


@tool(effect="idempotent", **_USUAL)
def light(ctx: Context, item: str) -> str:
    """Turn an item's lamp on."""
    return call(ctx, "idempotent", f"light/{item}", {"state": "on"})


@light.compensate(effect="keyed", timeout_s=TIMEOUT_S)
def unlight(ctx: Context, lit: str | None) -> None:
    """Have the lamp as it was."""
    undo(ctx, "light")


@tool(effect="idempotent", no_compensation="a lamp that is off does no harm", **_USUAL)
def darken(ctx: Context, item: str) -> str:
    """Turn an item's lamp off."""
    return call(ctx, "idempotent", f"darken/{item}", {"state": "off"})


@tool(effect="verified", settle_s=SETTLE_S, **_USUAL)
def charge(ctx: Context, item: str, cents: int) -> str:
    """Charge a card at a bank that counts each call, and can be asked."""
    return call(ctx, "verified", "charge", {"item": item, "cents": cents})


@charge.verify
def is_charged(ctx: Context) -> Happened[str] | NotHappened:
    """Ask for the charge."""
    return ask(ctx, "charge")


@charge.compensate(effect="keyed", timeout_s=TIMEOUT_S)
def reverse(ctx: Context, charged: str | None) -> None:
    """Reverse the charge."""
    undo(ctx, "charge")


@tool(effect="unsafe", no_approval="nobody minds", no_compensation="what was said was said", **_USUAL)
def announce(ctx: Context, item: str) -> str:
    """Announce an item, which can be neither repeated nor asked about."""
    return call(ctx, "unsafe", "announce", {"item": item})


@tool(
    effect="unsafe",
    approval=lambda cents: cents > LARGE_CENTS,
    expires_s=3600,
    no_compensation="a wire is final",
    **_USUAL,
)
def wire(ctx: Context, item: str, cents: int) -> str:
    """Wire money; a large amount once somebody has said yes."""
    return call(ctx, "unsafe", "wire", {"item": item, "cents": cents})


@tool(effect="read", timeout_s=TIMEOUT_S, limits=LIMITS, ends_run="handoff")
def hand_over(item: str) -> str:
    """Hand an item over to a colleague."""
    return f"{item} is yours"


ask_desk = ask_person("ask_desk", description="Ask the desk about an item.", expires_s=3600)


@delivery("sms", effect="keyed", timeout_s=TIMEOUT_S, limits=LIMITS)
def send_sms(message: Delivery) -> str:
    """Send a text message through a provider that knows a message again."""
    return _deliver(message)


@delivery("fax", effect="unsafe", timeout_s=TIMEOUT_S, limits=LIMITS)
def send_fax(message: Delivery) -> str:
    """Send a fax, each time that it is sent."""
    return _deliver(message)


def _write(ctx: Context) -> None:
    row = {"key": ctx.idempotency_key, "run_id": ctx.run.run_id, "step_index": ctx.step_index}
    ctx.connection.execute(_ENTER, row)


def _deliver(message: Delivery) -> str:
    reply = httpx2.post(
        f"{hooks_url()}/{message.kind}",
        json=message.payload,
        headers={"webhook-id": message.message_id},
        timeout=CLIENT_TIMEOUT_S,
    )
    return str(reply.raise_for_status().json()["id"])
