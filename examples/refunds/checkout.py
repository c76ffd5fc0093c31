"""Owns the checkout: an order is placed, its price is charged, the customer is told. What fails is undone."""

from __future__ import annotations

from pydantic import BaseModel, PositiveInt

from agentflow import Budget, Context, Pipeline, ToolError, tool
from examples.refunds.connection import shop


class Basket(BaseModel):
    """What a customer wants to buy."""

    email: str
    item: str
    price_cents: PositiveInt
    card: str


class Placed(BaseModel):
    """An order that the shop has taken."""

    order_id: str
    item: str
    price_cents: int


class Charge(BaseModel):
    """Money that a customer paid."""

    order_id: str
    amount_cents: int


@tool(effect="keyed", timeout_s=4)
def place_order(ctx: Context, item: str, price_cents: PositiveInt) -> Placed:
    """Place an order."""
    reply = ctx.use(shop).post("/orders", json={"item": item, "price_cents": price_cents}, headers=_key(ctx))
    return Placed.model_validate(reply.raise_for_status().json())


@place_order.compensate
def cancel_order(ctx: Context, placed: Placed) -> None:
    """Cancel the order and tell the customer."""
    ctx.use(shop).post(f"/orders/{placed.order_id}/cancellation", headers=_key(ctx)).raise_for_status()
    ctx.outbox.email(
        to=ctx.run.input["email"],
        subject=f"Your order {placed.order_id} is cancelled",
        body=f"We could not charge your card for the {placed.item}, so we have cancelled the order. You paid nothing.",
    )


@tool(effect="keyed", timeout_s=4, no_compensation="a charge is the last thing here that can be refused")
def charge_card(ctx: Context, order: Placed, card: str) -> Charge:
    """Charge the price of an order."""
    reply = ctx.use(shop).post(f"/orders/{order.order_id}/charge", json={"card": card}, headers=_key(ctx))
    # Said to the tool, 402 is about the customer's money; unsaid, it would be taken for our own account at the shop.
    if reply.status_code == 402:
        raise ToolError(reply.text, happened=False, status=402)
    return Charge.model_validate(reply.raise_for_status().json())


@tool(effect="transactional", no_compensation="it is the last thing that a checkout does")
def send_confirmation(ctx: Context, charge: Charge) -> str:
    """Send the customer what was ordered and paid."""
    subject = f"Your order {charge.order_id}"
    ctx.outbox.email(to=ctx.run.input["email"], subject=subject, body=f"You paid ${charge.amount_cents / 100:.2f}.")
    return charge.order_id


def _key(ctx: Context) -> dict[str, str]:
    return {"Idempotency-Key": ctx.idempotency_key}


checkout = Pipeline(
    "checkout",
    tools=[place_order, charge_card, send_confirmation],
    input=Basket,
    budget=Budget(time_s=120),
)
