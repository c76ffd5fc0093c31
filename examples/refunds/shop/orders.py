"""Owns the shop's orders: showing those it has, and placing, charging and cancelling new ones, once per key."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus

from examples.refunds.shop.answer import Answer, done, no_order, turned_away
from examples.refunds.shop.catalogue import ORDERS, policy_of
from examples.refunds.shop.ledger import Ledger
from examples.refunds.shop.trouble import Trouble

# The one card that has no money on it.
DECLINED_CARD = "tok_chargeDeclined"


class Orders:
    """What was ordered."""

    def __init__(self, ledger: Ledger, trouble: Trouble) -> None:
        self._ledger = ledger
        self._trouble = trouble

    def show(self, order_id: str) -> Answer:
        """Show an order."""
        if refusal := self._trouble.with_lookup(order_id):
            self._ledger.refuse(refusal, order_id)
            return turned_away(refusal)
        return done(asdict(ORDERS[order_id]), is_new=False) if order_id in ORDERS else no_order(order_id)

    def policy(self, order_id: str) -> Answer:
        """Show how much of an order can be refunded."""
        return done(asdict(policy_of(ORDERS[order_id])), is_new=False) if order_id in ORDERS else no_order(order_id)

    def place(self, key: str, item: str, price_cents: int) -> Answer:
        """Take an order, or tell of the one that the key has made before."""
        placed, is_new = self._ledger.order(key, price_cents)
        return done({"order_id": placed.order_id, "item": item, "price_cents": price_cents}, is_new=is_new)

    def charge(self, key: str, order_id: str, card: str) -> Answer:
        """Take the price of a new order from a card."""
        order = self._ledger.placed(order_id)
        if order is None:
            return no_order(order_id)
        if card == DECLINED_CARD:
            self._ledger.settle("declined", key, order, status=int(HTTPStatus.PAYMENT_REQUIRED))
            return Answer(HTTPStatus.PAYMENT_REQUIRED, "the card is declined: insufficient funds")
        is_new = self._ledger.settle("charged", key, order)
        return done({"order_id": order_id, "amount_cents": order.amount_cents}, is_new=is_new)

    def cancel(self, key: str, order_id: str) -> Answer:
        """Cancel a new order."""
        order = self._ledger.placed(order_id)
        if order is None:
            return no_order(order_id)
        return done({"order_id": order_id}, is_new=self._ledger.settle("cancelled", key, order))
