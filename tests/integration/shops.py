"""Owns the demo's shop in tests: served on loopback by a thread, with its log at hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from agentflow.testing import FinishedRun, Harness
from examples.refunds.customers import CUSTOMERS, Customer
from examples.refunds.desk import Case
from examples.refunds.proof import Evidence
from examples.refunds.shop.ledger import Entry, Ledger, read_log
from examples.refunds.shop.service import Shop
from examples.refunds.shop.trouble import Trouble

ADA = CUSTOMERS[0]


@dataclass
class OpenShop:
    """A shop on loopback, and its log."""

    shop: Shop
    log_path: Path

    @property
    def log(self) -> list[Entry]:
        return read_log(self.log_path)

    def look_up(self, order_id: str) -> httpx2.Response:
        return httpx2.get(f"{self.shop.url}/orders/{order_id}")

    def refund(self, body: object, key: str | None = "k") -> httpx2.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return httpx2.post(f"{self.shop.url}/refunds", json=body, headers=headers)


@contextmanager
def open_shop(log_path: Path, trouble: Trouble | None = None) -> Iterator[OpenShop]:
    with Ledger(log_path) as ledger, Shop(ledger, trouble=trouble) as opened:
        serving = threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield OpenShop(opened, log_path)
        opened.shutdown()
        serving.join()


def evidence_of(shop: OpenShop, agentflow: Harness, run: FinishedRun, customer: Customer = ADA) -> Evidence:
    return Evidence([Case(customer, run.record, run.steps)], agentflow.client.outbox(), shop.log)
