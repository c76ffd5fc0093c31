"""A till that books payments under their keys and can be asked for them, on a real server, and tools that pay there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from agentflow import Context, Happened, NotHappened, Pipeline, Unknown, tool
from agentflow.declare.declaration import Declaration
from agentflow.declare.tool import Tool
from agentflow.testing import Harness
from tests.integration.faulty import Answer, Arrival, Cut, Entry, Fault
from tests.integration.hands import Hands
from tests.integration.outside import NO_TLS, PATIENCE_S, Endpoint

Payment = Mapping[str, Any]
NOT_THERE, CANNOT_TELL = 404, 409


class Till:
    """Books each payment that arrives, twice too where a key comes twice; what is said of it is up to the test."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.url = endpoint.url
        self.booked: list[str] = []
        self.pays(self.books)
        self.says(self.looks_up)

    def pays(self, *entries: Entry) -> None:
        """Say what becomes of payments from now on, in this order; the last goes on for ever."""
        self._endpoint.answers_at("/pay", *entries)

    def says(self, *entries: Entry) -> None:
        """Say what questions are answered from now on."""
        self._endpoint.answers_at("/paid", *entries)

    @property
    def paid(self) -> int:
        """How many payments arrived, booked or not."""
        return len(self._endpoint.arrivals_at("/pay"))

    @property
    def asked(self) -> int:
        """How often it was asked for a payment."""
        return len(self._endpoint.arrivals_at("/paid"))

    def books(self, arrival: Arrival) -> Fault:
        """Book a payment, and say so."""
        key = arrival.headers["idempotency-key"]
        self.booked.append(key)
        return Answer(body={"key": key, "number": len(self.booked)})

    def books_and_cuts(self, arrival: Arrival) -> Fault:
        """Book a payment, and cut the connection."""
        self.books(arrival)
        return Cut()

    def cuts(self, _: Arrival) -> Fault:
        """Cut the connection before anything is booked."""
        return Cut()

    def pretends(self, _: Arrival) -> Fault:
        """Say that a payment is booked which is not."""
        return Answer(body={"key": "nobody's", "number": 0})

    def looks_up(self, arrival: Arrival) -> Fault:
        """Say what is booked under a key."""
        key = arrival.headers["idempotency-key"]
        if key not in self.booked:
            return Answer(NOT_THERE)
        return Answer(body={"key": key, "number": self.booked.index(key) + 1})


class LatePayment:
    """A payment that is booked when the test says so, after whoever sent it has given up."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._lands, self._landed = threading.Event(), threading.Event()

    def __call__(self, arrival: Arrival) -> Fault:
        assert self._lands.wait(30)
        answer = self._till.books(arrival)
        self._landed.set()
        return answer

    def land(self) -> None:
        """Let it be booked now."""
        self._lands.set()
        assert self._landed.wait(30)


def pay(ctx: Context, url: str, order_id: str = "1") -> Payment:
    ctx.scratchpad["paid"] = order_id
    ctx.outbox.email(to="a@example.com", subject="Paid", body=order_id)
    return _ask(ctx, "POST", f"{url}/pay").raise_for_status().json()  # type: ignore[no-any-return]


def was_paid(ctx: Context, url: str) -> Happened[Payment] | NotHappened | Unknown:
    reply = _ask(ctx, "GET", f"{url}/paid")
    if reply.status_code == NOT_THERE:
        return NotHappened()
    if reply.status_code == CANNOT_TELL:
        return Unknown("the books are closed")
    return Happened(reply.raise_for_status().json())


def a_payment(
    effect: str = "verified",
    *,
    settle_s: float = 5,
    pays: Callable[..., Any] = pay,
    verifies: Callable[..., Any] = was_paid,
    **declared: Any,
) -> Tool[..., Any]:
    """A tool that pays at a till, and asks there whether it has."""
    payment: Tool[..., Any] = tool(effect=effect, name="pay", timeout_s=5, settle_s=settle_s, **declared)(pays)
    payment.verify(verifies)
    return payment


def paying(effect: str = "verified", *, settle_s: float = 5, **declared: Any) -> Pipeline:
    """A pipeline of one payment."""
    return Pipeline("paying", [a_payment(effect, settle_s=settle_s, **declared)])


def begun(harness: Harness, till: Till, pipeline: Declaration | None = None, **input: Any) -> tuple[Hands, str]:
    """Begin a run that pays; half of each longest wait is drawn."""
    pipeline = pipeline or paying()
    hands = Hands(harness, pipeline)
    hands.runtime.draw = lambda: 0.5
    return hands, hands.begin(pipeline, {"url": till.url, **input})


def path_of(hands: Hands, run_id: str) -> list[tuple[str, str]]:
    """A run's steps: what each is, and where it stands."""
    return [(step.tool_name, step.status) for step in hands.harness.client.steps(run_id)]


def _ask(ctx: Context, method: str, url: str) -> httpx2.Response:
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return httpx2.request(method, url, headers=headers, timeout=PATIENCE_S, verify=NO_TLS)
