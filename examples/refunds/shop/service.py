"""Owns the shop's HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from examples.refunds.shop.catalogue import ORDERS, policy_of
from examples.refunds.shop.ledger import KeyTaken, Ledger
from examples.refunds.shop.trouble import Refusal, Trouble


class Answer(NamedTuple):
    """What is sent: a text, or data as JSON."""

    status: HTTPStatus
    body: Any
    retry_after_s: int | None = None


class Shop(ThreadingHTTPServer):
    """Serves on loopback, a thread per connection. `slow_s` says which orders' payments are answered late."""

    daemon_threads = True

    def __init__(
        self,
        ledger: Ledger,
        *,
        port: int = 0,
        slow_s: Mapping[str, float] | None = None,
        trouble: Trouble | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port), Counter)
        self._ledger = ledger
        self._slow_s = slow_s or {}
        self._trouble = trouble or Trouble()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def show(self, path: str) -> Answer:
        """Answer what is asked about an order."""
        match path.strip("/").split("/"):
            case ["orders", order_id] if refusal := self._trouble.with_lookup(order_id):
                self._ledger.refuse(refusal, order_id)
                return _refused(refusal)
            case ["orders", order_id] if order_id in ORDERS:
                return Answer(HTTPStatus.OK, asdict(ORDERS[order_id]))
            case ["orders", order_id, "policy"] if order_id in ORDERS:
                return Answer(HTTPStatus.OK, asdict(policy_of(ORDERS[order_id])))
            case ["orders", order_id, *_]:
                return Answer(HTTPStatus.NOT_FOUND, f"there is no order {order_id!r}")
        return Answer(HTTPStatus.NOT_FOUND, f"there is nothing at {path!r}")

    def refund(self, key: str, order_id: str, amount_cents: int) -> Answer:
        """Pay a refund, or tell of the payment that the key has made before."""
        self._ledger.ask(key, order_id, amount_cents)
        if refusal := self._trouble.with_refund(order_id):
            self._ledger.refuse(refusal, order_id, key, amount_cents)
            return _refused(refusal)
        order = ORDERS.get(order_id)
        if order is None:
            return Answer(HTTPStatus.NOT_FOUND, f"there is no order {order_id!r}")
        policy = policy_of(order)
        if not 0 < amount_cents <= policy.refundable_cents:
            most = f"{policy.refundable_cents} cents of order {order_id} can be refunded: {policy.reason}"
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, most)
        return self._pay(key, order_id, amount_cents)

    def _pay(self, key: str, order_id: str, amount_cents: int) -> Answer:
        try:
            paid, is_new = self._ledger.pay(key, order_id, amount_cents)
        except KeyTaken as taken:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(taken))
        if is_new:
            # The money has left, and the caller does not know it yet: the worst moment to lose the caller.
            threading.Event().wait(self._slow_s.get(order_id, 0.0))
        refund = {"refund_id": paid.refund_id, "order_id": paid.order_id, "amount_cents": paid.amount_cents}
        return Answer(HTTPStatus.CREATED if is_new else HTTPStatus.OK, refund)


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, refusal.text, refusal.retry_after_s)


class Counter(BaseHTTPRequestHandler):
    """One customer at the counter."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Shop

    def do_GET(self) -> None:
        self._send(self.server.show(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(self._refund(body, self.headers.get("Idempotency-Key")))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the ledger tells what happened."""

    def _refund(self, body: bytes, key: str | None) -> Answer:
        if self.path != "/refunds":
            return Answer(HTTPStatus.NOT_FOUND, f"there is nothing at {self.path!r}")
        if not key:
            return Answer(HTTPStatus.BAD_REQUEST, "send an Idempotency-Key")
        try:
            asked = json.loads(body)
            order_id, amount_cents = str(asked["order_id"]), int(asked["amount_cents"])
        except (ValueError, KeyError, TypeError) as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"not a refund: {error!r}")
        return self.server.refund(key, order_id, amount_cents)

    def _send(self, answer: Answer) -> None:
        is_text = isinstance(answer.body, str)
        encoded = (answer.body if is_text else json.dumps(answer.body)).encode()
        # The caller may be gone by now; the ledger has what was done.
        with contextlib.suppress(ConnectionError):
            self.send_response(answer.status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            if answer.retry_after_s is not None:
                self.send_header("Retry-After", str(answer.retry_after_s))
            self.end_headers()
            self.wfile.write(encoded)
