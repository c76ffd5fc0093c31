"""A shop on a real server that honours idempotency keys: what is ordered there once, and cancelled once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from pydantic import BaseModel

from agentflow import Context, Pipeline, tool
from tests.integration.faulty import Answer, Arrival
from tests.integration.outside import NO_TLS, PATIENCE_S, Endpoint


class OrderShop:
    """Answers the same key with the same answer, whatever became of the order meanwhile, and refuses every card."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.url = endpoint.url
        self.log: list[str] = []
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}
        endpoint.answers_at("/orders", self._answering(self._order))
        endpoint.answers_at("/cancellations", self._answering(self._cancel))
        endpoint.answers_at("/charges", self._refuse)

    def _answering(self, act: Callable[[str, Any], Mapping[str, Any]]) -> Callable[[Arrival], Answer]:
        def answer(arrival: Arrival) -> Answer:
            key = arrival.headers["idempotency-key"]
            where = (arrival.path, key)
            if where not in self._known:
                self._known[where] = act(key, json.loads(arrival.body))
            return Answer(200, body=self._known[where])

        return answer

    def _order(self, key: str, _: Any) -> Mapping[str, Any]:
        number = f"o-{len(self._known) + 1}"
        self.log.append(f"ordered {number} under {key}")
        return {"number": number}

    def _cancel(self, _: str, asked: Any) -> Mapping[str, Any]:
        self.log.append(f"cancelled {asked['number']} of {asked['of']}")
        return {"cancelled": asked["number"]}

    def _refuse(self, _: Arrival) -> Answer:
        self.log.append("refused the card")
        return Answer(422, body={"error": "card refused"})


class Order(BaseModel):
    """An order as the shop confirms it."""

    number: str


def send(ctx: Context, url: str, body: Mapping[str, Any]) -> Any:
    headers = {"Idempotency-Key": ctx.idempotency_key}
    answer = httpx2.post(url, json=body, headers=headers, timeout=PATIENCE_S * 10, verify=NO_TLS)
    return answer.raise_for_status().json()


@tool(effect="keyed", timeout_s=5)
def order(ctx: Context, url: str, item: str) -> Order:
    """Order something."""
    return Order.model_validate(send(ctx, f"{url}/orders", {"item": item}))


@order.compensate
def cancel_order(ctx: Context, made: Order, url: str) -> None:
    """Cancel the order."""
    send(ctx, f"{url}/cancellations", {"number": made.number, "of": ctx.subject_key})


@tool(effect="keyed", timeout_s=5)
def charge(ctx: Context, url: str, order: Order) -> str:
    """Charge the customer's card."""
    return str(send(ctx, f"{url}/charges", {"order": order.number})["charge"])


buying = Pipeline("buying", [order, charge])
