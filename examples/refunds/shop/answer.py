"""Owns what the shop answers: a status, and a text or data."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

from examples.refunds.shop.trouble import Refusal


class Answer(NamedTuple):
    """What is sent: a text, or data as JSON."""

    status: HTTPStatus
    body: Any
    retry_after_s: int | None = None


def turned_away(refusal: Refusal) -> Answer:
    """Answer a request that is turned away."""
    return Answer(refusal.status, refusal.text, refusal.retry_after_s)


def no_order(order_id: str) -> Answer:
    """Answer a question about an order that there is not."""
    return Answer(HTTPStatus.NOT_FOUND, f"there is no order {order_id!r}")


def done(body: Any, *, is_new: bool) -> Answer:
    """Answer what was done just now, or before under the same key."""
    return Answer(HTTPStatus.CREATED if is_new else HTTPStatus.OK, body)
