"""Owns what the gate's tests say of visits: who enters what, how it went, and what the gate shows of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentflow.declare.limits import Breaker, Limits
from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted, Bulkhead, BulkheadState, Denied, Gate, Heard, Verdict, Visitor

RUN = "0192f0c1-7d2a-7c3e-9a51-0f6f2f6f0000"
OK, FAILURE, NEUTRAL, UNUSED = (
    Heard(verdict) for verdict in (Verdict.OK, Verdict.FAILURE, Verdict.NEUTRAL, Verdict.UNUSED)
)
BUSY = Heard(Verdict.NEUTRAL, throttled=True)


def bulkhead(name: str = "tool.pay", *, on: str | None = None, **limits: Any) -> Bulkhead:
    """A bulkhead, `on` a breaker of another name if need be."""
    return Bulkhead(name, on or name, Limits(**limits))


def fragile(**breaker: Any) -> Bulkhead:
    """A bulkhead whose breaker opens at the second failure, for a short time."""
    return bulkhead(breaker=Breaker(**{"failures": 2, "within_s": 60.0, "open_s": 0.1, **breaker}))


def step(number: int = 0, **other: Any) -> Visitor:
    return replace(Visitor(RUN, number, holder="worker", lease_s=30.0), **other)


def enter(gate: Gate, into: Bulkhead, number: int = 0, **other: Any) -> Admitted:
    """Enter, and be let in."""
    answer = gate.enter(into, step(number, **other))
    assert isinstance(answer, Admitted), answer
    return answer


def refused(gate: Gate, into: Bulkhead, number: int = 0, **other: Any) -> Denied:
    """Enter, and be turned away."""
    answer = gate.enter(into, step(number, **other))
    assert isinstance(answer, Denied), answer
    return answer


def why(gate: Gate, into: Bulkhead, number: int = 0, **other: Any) -> Denial:
    return refused(gate, into, number, **other).reason


def call(gate: Gate, into: Bulkhead, heard: Heard, times: int = 1) -> None:
    """Enter, call and leave, so many times."""
    for number in range(times):
        gate.leave(enter(gate, into, number), heard)


def state(gate: Gate, of: Bulkhead) -> BulkheadState:
    (found,) = gate.states({of.name: of.breaker})
    return found


def wait_for_half_open(gate: Gate, of: Bulkhead) -> None:
    wait_until(lambda: state(gate, of).breaker == "half_open")


def trip(gate: Gate, into: Bulkhead) -> None:
    """Let calls fail until the breaker opens."""
    call(gate, into, FAILURE, times=into.limits.breaker.failures)
    assert state(gate, into).breaker == "open"


def wait_until(claim: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    """Wait for a claim to hold."""
    end = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.005)
