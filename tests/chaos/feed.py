"""Owns the submission of the load: each at its time, again and again under its key until it is accepted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from agentflow import Client
from agentflow.domain.errors import DatabaseUnavailable

_AGAIN_S = 0.5

Objections = Callable[[str, str | None, str | None], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Order:
    """A submission to come; `submit` may be called again until it returns the run's id.

    `objections` says of a status, an outcome and what became of the undoing what a world without faults would not show.
    """

    at_s: float
    kind: str
    submit: Callable[[Client], str]
    objections: Objections = lambda *_: ()


class Feed:
    """Works on a thread of its own, its clock starting with `start`. `accepted` are the orders by run id."""

    def __init__(self, client: Client, orders: Sequence[Order], path: Path) -> None:
        self._client = client
        self._orders = sorted(orders, key=lambda order: order.at_s)
        self._path = path
        self._thread = threading.Thread(target=self._feed, name="feed", daemon=True)
        self._pause = threading.Event()
        self._failed: BaseException | None = None
        self.accepted: dict[str, Order] = {}

    def start(self) -> None:
        """Begin to submit."""
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Wait until all is submitted; raise what kept it from that."""
        self._thread.join(timeout_s)
        if self._failed is not None:
            raise self._failed
        if self._thread.is_alive():
            raise TimeoutError(f"only {len(self.accepted)} of {len(self._orders)} submissions were accepted")

    def _feed(self) -> None:
        began = time.monotonic()
        try:
            with self._path.open("a", encoding="utf-8") as lines:
                for order in self._orders:
                    self._pause.wait(max(0.0, order.at_s - (time.monotonic() - began)))
                    run_id = self._insist(order)
                    self.accepted[run_id] = order
                    lines.write(json.dumps({"run_id": run_id, "kind": order.kind}) + "\n")
        except BaseException as error:  # noqa: BLE001 - it is raised where the driver waits for the end
            self._failed = error

    def _insist(self, order: Order) -> str:
        while True:
            try:
                return order.submit(self._client)
            except (DatabaseUnavailable, DBAPIError):
                # Nobody knows whether it was written; under its key it is the same run.
                self._pause.wait(_AGAIN_S)
