"""Owns the tools by which money goes back: to a card, under a key that the shop honours, or by wire, verified."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, Field, PositiveInt

from agentflow import Context, Happened, Limits, NotHappened, Rate, tool
from examples.refunds.connection import shop

OrderId = Annotated[str, Field(pattern=r"^[0-9]{4,10}$")]
# What is above, a person has to approve.
APPROVED_ABOVE_CENTS = 50_000
# Money leaves here: a model that has lost its way, or a flood of tickets, empties no account in a minute.
_LIMITS = Limits(slots=8, rates=(Rate(60, per_s=60),))
_GONE = "money that has left does not come back"


class Refund(BaseModel):
    """Money that went back to a customer."""

    refund_id: str
    order_id: str
    amount_cents: int


def is_large(amount_cents: int) -> bool:
    """Whether a person has to approve a refund."""
    return amount_cents > APPROVED_ABOVE_CENTS


@tool(effect="keyed", key="refund:{order_id}", timeout_s=10, limits=_LIMITS, approval=is_large, no_compensation=_GONE)
def issue_refund(ctx: Context, order_id: OrderId, amount_cents: PositiveInt) -> Refund:
    """Refund an order that was paid by card: the money leaves at once."""
    reply = ctx.use(shop).post(
        "/refunds",
        json={"order_id": order_id, "amount_cents": amount_cents},
        headers={"Idempotency-Key": ctx.idempotency_key},
    )
    return Refund.model_validate(reply.raise_for_status().json())


# The bank knows no keys: a wire that is sent twice leaves twice. But it can be asked what it has sent.
@tool(
    effect="verified",
    key="wire:{order_id}",
    timeout_s=2,
    settle_s=1,
    limits=_LIMITS,
    approval=is_large,
    no_compensation=_GONE,
)
def wire_refund(ctx: Context, order_id: OrderId, amount_cents: PositiveInt) -> Refund:
    """Refund an order that was paid by wire: the money leaves at once."""
    wire = {"order_id": order_id, "amount_cents": amount_cents, "reference": ctx.idempotency_key}
    return Refund.model_validate(ctx.use(shop).post("/wires", json=wire).raise_for_status().json())


@wire_refund.verify
def was_wired(ctx: Context) -> Happened[Refund] | NotHappened:
    """Ask for the wire by its reference."""
    reply = ctx.use(shop).get(f"/wires/{quote(ctx.idempotency_key, safe='')}")
    if reply.status_code == 404:
        return NotHappened()
    return Happened(Refund.model_validate(reply.raise_for_status().json()))
