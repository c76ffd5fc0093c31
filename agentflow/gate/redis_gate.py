"""The gate in Redis: one script before a call, one after it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from agentflow.domain.errors import AgentflowError
from agentflow.domain.waiting import Denial
from agentflow.gate import scripts
from agentflow.gate.errors import GateUnreachable
from agentflow.gate.keys import Keys
from agentflow.gate.link import Link
from agentflow.gate.protocol import Admitted, Bulkhead, BulkheadState, Denied, Heard, Held, Visitor, Waiter
from agentflow.gate.slot import Slot, attempts_of, held_of, member_of, parse_waiter, waiter_name
from agentflow.gate.terms import terms_of

# How many are woken for a bulkhead that nobody has entered since Redis began, or while Redis does not answer.
_UNKNOWN_ROOM = 16
_UNAVAILABLE_S = 5.0
_LONGEST_RETRY_AFTER_S = 3600.0
_LONGEST_HOLD_S = 366 * 86400.0
_LONGEST_REASON = 500


class RedisGate:
    """Lets calls through by breakers, rates and slots that all processes share."""

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = "agentflow:gate",
        timeout_s: float = 0.25,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._link = Link(redis_url, timeout_s)
        self._keys = Keys(prefix)
        self._draw = draw

    def enter(self, bulkhead: Bulkhead, visitor: Visitor) -> Admitted | Denied:
        """Ask to call; without Redis the bulkhead's policy decides."""
        member, draw = member_of(visitor), self._draw()
        rate_keys = self._keys.rates(bulkhead.name, bulkhead.limits.rates, visitor.rate_keys)
        try:
            reply = self._link.run(
                scripts.ENTER,
                [*self._keys.of(bulkhead.name, bulkhead.breaker), *rate_keys],
                [
                    terms_of(bulkhead, self._keys),
                    waiter_name(visitor),
                    member,
                    f"{visitor.holder}:",
                    visitor.lease_s,
                    int(visitor.is_retry),
                    -1 if visitor.pool_slots is None else visitor.pool_slots,
                    draw,
                ],
            )
        except GateUnreachable:
            return _without_redis(bulkhead, draw)
        match reply:
            case ["admitted", generation, is_probe]:
                slot = Slot(member, generation, visitor.is_retry, rate_keys)
                return Admitted(bulkhead, str(slot), is_probe == "1")
            case [reason, after_s]:
                return Denied(Denial(reason), float(after_s))
        raise AssertionError(reply)

    def leave(self, admitted: Admitted, heard: Heard) -> Sequence[Waiter]:
        """Give the slot back and tell what became of the call. Where Redis is away, the slot's lease ends by itself."""
        if admitted.slot is None:
            return ()
        bulkhead, slot = admitted.bulkhead, Slot.parse(admitted.slot)
        try:
            woken = self._link.run(
                scripts.LEAVE,
                [*self._keys.of(bulkhead.name, bulkhead.breaker), *slot.rate_keys],
                [
                    terms_of(bulkhead, self._keys),
                    slot.member,
                    slot.generation,
                    int(slot.is_retry),
                    heard.verdict,
                    int(heard.throttled),
                    _hold_s(heard),
                    self._draw(),
                ],
            )
        except GateUnreachable:
            return ()
        return [parse_waiter(name) for name in woken]

    def capacity(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return how many more steps may be woken. Without Redis some are: they are let in or not by their policy."""
        if not names:
            return {}
        try:
            found = self._link.run(scripts.CAPACITY, [key for name in names for key in self._keys.bulkhead(name)])
        except GateUnreachable:
            return dict.fromkeys(names, _UNKNOWN_ROOM)
        return {name: _UNKNOWN_ROOM if room < 0 else room for name, room in zip(names, found, strict=True)}

    def held(self, bulkheads: Sequence[str], holder: str) -> Sequence[Held]:
        """Return what a worker holds in bulkheads. Raises GateUnreachable, an OSError."""
        if not bulkheads:
            return ()
        keys = [key for name in bulkheads for key in self._keys.bulkhead(name)]
        found = self._link.run(scripts.HELD, keys, [f"{holder}:"])
        return [held_of(name, member) for name, members in zip(bulkheads, found, strict=True) for member in members]

    def evict(self, bulkhead: str, run_id: str, step_index: int, holder: str | None = None) -> None:
        """Give back what a lost attempt holds. Where Redis is away, its lease ends by itself."""
        members = f"{holder or ''}{attempts_of(run_id, step_index)}"
        try:
            self._link.run(scripts.EVICT, self._keys.bulkhead(bulkhead), [members])
        except GateUnreachable:
            return

    def hold_open(self, breaker: str, seconds: float, reason: str) -> None:
        """Open a breaker for so long; one that is open for longer stays so. Raises GateUnreachable."""
        if not math.isfinite(seconds) or not 0 < seconds <= _LONGEST_HOLD_S:
            raise AgentflowError(
                f"Can't hold {breaker!r} open for {seconds!r} s: give more than none, and a year at most"
            )
        self._link.run(scripts.HOLD_OPEN, self._keys.breaker(breaker), [seconds, reason[:_LONGEST_REASON]])

    def close_breaker(self, breaker: str) -> None:
        """Close a breaker and forget its failures. Raises GateUnreachable."""
        self._link.run(scripts.CLOSE_BREAKER, self._keys.breaker(breaker))

    def states(self, bulkheads: Mapping[str, str]) -> Sequence[BulkheadState]:
        """Return how bulkheads stand. `slots` is 0 where nobody has entered yet. Raises GateUnreachable, an OSError."""
        if not bulkheads:
            return ()
        keys = [key for name, breaker in bulkheads.items() for key in self._keys.of(name, breaker)]
        found = self._link.run(scripts.STATES, keys)
        return [_state(name, values) for name, values in zip(bulkheads, found, strict=True)]


def _without_redis(bulkhead: Bulkhead, draw: float) -> Admitted | Denied:
    if bulkhead.limits.when_unreachable == "open":
        return Admitted(bulkhead, None)
    return Denied(Denial.GATE_UNAVAILABLE, _UNAVAILABLE_S * (0.8 + 0.4 * draw))


def _hold_s(heard: Heard) -> float:
    """Return for how long the other side wants to be left alone; what is no time is none."""
    asked_s = heard.retry_after_s if heard.throttled else None
    return min(asked_s, _LONGEST_RETRY_AFTER_S) if asked_s is not None and asked_s > 0 else 0.0


def _state(name: str, values: Sequence[str | int]) -> BulkheadState:
    breaker, open_for_s, failures, in_use, slots, waiting, throttled_for_s, reason = values
    return BulkheadState(
        name=name,
        breaker=str(breaker),
        open_for_s=float(open_for_s),
        failures=int(failures),
        in_use=int(in_use),
        slots=int(slots),
        waiting=int(waiting),
        throttled_for_s=float(throttled_for_s),
        reason=str(reason) or None,
    )
