"""Owns how the shop gives money back: to a card, once per key, or by wire, each time it is asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http import HTTPStatus

from examples.refunds.shop.answer import Answer, done, no_order, turned_away
from examples.refunds.shop.catalogue import ORDERS, Order, policy_of
from examples.refunds.shop.ledger import Entry, KeyTaken, Ledger
from examples.refunds.shop.trouble import Trouble


class Refunds:
    """Pays first and answers then; `slow_s` says which orders' payments are answered late."""

    def __init__(self, ledger: Ledger, slow_s: Mapping[str, float], trouble: Trouble) -> None:
        self._ledger = ledger
        self._slow_s = slow_s
        self._trouble = trouble

    def to_card(self, key: str, order_id: str, amount_cents: int) -> Answer:
        """Pay a refund, or tell of the payment that the key has made before."""
        self._ledger.ask(key, order_id, amount_cents)
        if refusal := self._trouble.with_refund(order_id):
            self._ledger.refuse(refusal, order_id, key, amount_cents)
            return turned_away(refusal)
        if unpayable := _unpayable("card", order_id, amount_cents):
            return unpayable
        try:
            paid, is_new = self._ledger.pay(key, order_id, amount_cents)
        except KeyTaken as taken:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(taken))
        if is_new:
            self._keep_waiting(order_id)
        return done(_receipt(paid), is_new=is_new)

    def by_wire(self, reference: str, order_id: str, amount_cents: int) -> Answer:
        """Wire the money, again if it was wired before."""
        self._ledger.ask(reference, order_id, amount_cents)
        if unpayable := _unpayable("wire", order_id, amount_cents):
            return unpayable
        paid = self._ledger.wire(reference, order_id, amount_cents)
        self._keep_waiting(order_id)
        return done(_receipt(paid), is_new=True)

    def wired(self, reference: str) -> Answer:
        """Tell what was wired under a reference."""
        found = self._ledger.seek(reference)
        if found is None:
            return Answer(HTTPStatus.NOT_FOUND, f"nothing was wired under {reference!r}")
        return done(_receipt(found), is_new=False)

    def _keep_waiting(self, order_id: str) -> None:
        # The money has left, and the caller does not know it yet: the worst moment to lose the caller.
        threading.Event().wait(self._slow_s.get(order_id, 0.0))


def _unpayable(way: str, order_id: str, amount_cents: int) -> Answer | None:
    order = ORDERS.get(order_id)
    if order is None:
        return no_order(order_id)
    return _too_much(order, amount_cents) or _other_way(order, way)


def _too_much(order: Order, amount_cents: int) -> Answer | None:
    policy = policy_of(order)
    if 0 < amount_cents <= policy.refundable_cents:
        return None
    most = f"{policy.refundable_cents} cents of order {order.order_id} can be refunded: {policy.reason}"
    return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, most)


def _other_way(order: Order, way: str) -> Answer | None:
    if order.paid_by == way:
        return None
    return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"order {order.order_id} was paid by {order.paid_by}, not by {way}")


def _receipt(paid: Entry) -> dict[str, object]:
    return {"refund_id": paid.receipt, "order_id": paid.order_id, "amount_cents": paid.amount_cents}
