"""Owns the shop's orders and its refund policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REFUNDABLE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer bought. Its age is kept in days, so that it never grows old."""

    order_id: str
    item: str
    paid_cents: int
    delivered_days_ago: int
    paid_by: Literal["card", "wire"] = "card"


@dataclass(frozen=True, slots=True)
class Policy:
    """How much of an order can be refunded, and why."""

    refundable_cents: int
    reason: str


ORDERS = {
    order.order_id: order
    for order in (
        Order("4417", "kettle", 4990, 3),
        Order("4431", "desk lamp", 3450, 9),
        Order("4402", "toaster", 5900, 211),
        Order("4440", "espresso machine", 28900, 21),
        Order("4455", "tent for two", 12900, 5),
        Order("4460", "pair of headphones", 8900, 12),
        Order("4471", "bookcase", 24900, 8, paid_by="wire"),
        Order("4480", "electric bicycle", 189900, 17),
    )
}


def policy_of(order: Order) -> Policy:
    """Refund everything for a month, and nothing after it."""
    age = f"delivered {order.delivered_days_ago} days ago, refunds are given for {REFUNDABLE_DAYS} days"
    return Policy(order.paid_cents if order.delivered_days_ago <= REFUNDABLE_DAYS else 0, age)
