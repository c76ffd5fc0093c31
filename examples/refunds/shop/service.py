"""Owns the shop's HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from examples.refunds.shop.answer import Answer
from examples.refunds.shop.ledger import Ledger
from examples.refunds.shop.orders import Orders
from examples.refunds.shop.refunds import Refunds
from examples.refunds.shop.trouble import Trouble

_NO_KEY = Answer(HTTPStatus.BAD_REQUEST, "send an Idempotency-Key")


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
        troubled = trouble or Trouble()
        self._orders = Orders(ledger, troubled)
        self._refunds = Refunds(ledger, slow_s or {}, troubled)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def show(self, path: str) -> Answer:
        """Answer a question."""
        match path.strip("/").split("/"):
            case ["orders", order_id]:
                return self._orders.show(order_id)
            case ["orders", order_id, "policy"]:
                return self._orders.policy(order_id)
            case ["wires", reference]:
                return self._refunds.wired(unquote(reference))
        return _nothing_at(path)

    def do(self, path: str, asked: Mapping[str, Any], key: str) -> Answer:
        """Do what is asked; raise KeyError, TypeError or ValueError for what nobody can do."""
        match path.strip("/").split("/"):
            case ["wires"]:
                return self._refunds.by_wire(str(asked["reference"]), *_money(asked))
            case ["refunds"]:
                return self._refunds.to_card(key, *_money(asked)) if key else _NO_KEY
            case ["orders"]:
                return self._orders.place(key, str(asked["item"]), int(asked["price_cents"])) if key else _NO_KEY
            case ["orders", order_id, "charge"]:
                return self._orders.charge(key, order_id, str(asked["card"])) if key else _NO_KEY
            case ["orders", order_id, "cancellation"]:
                return self._orders.cancel(key, order_id) if key else _NO_KEY
        return _nothing_at(path)


class Counter(BaseHTTPRequestHandler):
    """One customer at the counter."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Shop

    def do_GET(self) -> None:
        self._send(self.server.show(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            answer = self.server.do(self.path, json.loads(body or "{}"), self.headers.get("Idempotency-Key", ""))
        except (ValueError, KeyError, TypeError) as error:
            answer = Answer(HTTPStatus.BAD_REQUEST, f"nobody can do that: {error!r}")
        self._send(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the ledger tells what happened."""

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


def _money(asked: Mapping[str, Any]) -> tuple[str, int]:
    return str(asked["order_id"]), int(asked["amount_cents"])


def _nothing_at(path: str) -> Answer:
    return Answer(HTTPStatus.NOT_FOUND, f"there is nothing at {path!r}")
