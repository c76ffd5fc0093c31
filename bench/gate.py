"""Measures what the gate adds to a step: one round trip before the call and one after, on a Valkey of this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from agentflow.declare.limits import Limits, Rate
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Heard, Verdict, Visitor
from agentflow.gate.redis_gate import RedisGate
from agentflow.local import attach
from bench.figures import Broken, Figure, percentile

_STEPS, _WARM_UP, _PARKED = 5_000, 200, 1_000
_GOAL_MS = 0.3
_RUN = "0192f0c1-7d2a-7c3e-9a51-0f6f2f6f0000"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield what a step pays, beside two bare PINGs that were sent in turn with it."""
    with attach(folder, postgres=False) as services, redis.Redis.from_url(services.redis_url) as bare:
        gate = RedisGate(services.redis_url)
        plain, rated = _bulkhead("bench.plain"), _bulkhead("bench.rated", Rate(1_000_000), Rate(1_000_000, per_s=60))
        behind = _with_waiters(gate, _bulkhead("bench.waiting"))
        found = _in_turns(
            {
                "enter and leave": lambda: _call(gate, plain),
                "enter and leave, two rates": lambda: _call(gate, rated),
                "enter and leave, 1,000 waiting": lambda: _call(gate, behind),
                "two bare PINGs": lambda: (bare.ping(), bare.ping()),
            }
        )
        for name, ms in found.items():
            yield Figure(f"{name}: median", statistics.median(ms), "ms", None if "PING" in name else _GOAL_MS)
            yield Figure(f"{name}: 99 %", percentile(ms, 99), "ms")


def _in_turns(actions: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return each action's times in milliseconds. In turns: what disturbs one, disturbs all."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(_WARM_UP + _STEPS):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            times[name].append((time.perf_counter() - began) * 1_000)
    return {name: all_[_WARM_UP:] for name, all_ in times.items()}


def _bulkhead(name: str, *rates: Rate) -> Bulkhead:
    return Bulkhead(name, name, Limits(slots=64, rates=rates))


def _call(gate: RedisGate, bulkhead: Bulkhead, number: int = 0) -> None:
    admitted = gate.enter(bulkhead, _visitor(number))
    if not isinstance(admitted, Admitted):
        raise Broken(f"the gate let nobody into {bulkhead.name!r}: {admitted}")
    gate.leave(admitted, Heard(Verdict.OK))


def _visitor(number: int) -> Visitor:
    return Visitor(_RUN, number, holder="bench", lease_s=60.0, pool_slots=8)


def _with_waiters(gate: RedisGate, bulkhead: Bulkhead) -> Bulkhead:
    """Let a thousand steps wait for a rate, so that a leave has somebody to look for."""
    slow = Bulkhead(bulkhead.name, bulkhead.breaker, Limits(slots=64, rates=(Rate(1, per_s=3_600),)))
    _call(gate, slow)
    for number in range(_PARKED):
        if not isinstance(gate.enter(slow, _visitor(number + 1)), Denied):
            raise Broken(f"the gate let a second one into {slow.name!r}")
    return bulkhead
