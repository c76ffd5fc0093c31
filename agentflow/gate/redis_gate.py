"""The gate in Redis: one script before a call, one after it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from agentflow.domain.errors import AgentflowError
from agentflow.gate import scripts
from agentflow.gate.door import door_of
from agentflow.gate.entry import Entry
from agentflow.gate.errors import GateUnreachable
from agentflow.gate.keys import Keys
from agentflow.gate.link import Link
from agentflow.gate.protocol import Admitted, Bulkhead, BulkheadState, Denied, Heard, Held, Slot, Visitor, Waiter
from agentflow.gate.request import Request, request
from agentflow.gate.slot import attempts_of, held_of, parse_waiter

# How many are woken for a bulkhead that nobody has entered since Redis began, or while Redis does not answer.
_UNKNOWN_ROOM = 16
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
        entry = self._entry(bulkhead, visitor)
        try:
            (reply,) = self._link.run(entry.request, undo=entry.undo)
        except GateUnreachable:
            return entry.without_redis()
        return entry.read(reply)

    def leave(self, admitted: Admitted, heard: Heard) -> Sequence[Waiter]:
        """Give the slot back and tell what became of the call. Where Redis is away, the slot's lease ends by itself."""
        if admitted.slot is None:
            return ()
        try:
            (woken,) = self._link.run(self._exit(admitted.bulkhead, admitted.slot, heard))
        except GateUnreachable:
            return ()
        return [parse_waiter(name) for name in woken]

    def pass_on(
        self, admitted: Admitted | None, heard: Heard, bulkhead: Bulkhead, visitor: Visitor
    ) -> tuple[Sequence[Waiter], Admitted | Denied]:
        """Leave the one bulkhead, if any, then ask to enter the next, which may be the same, in one round trip."""
        if admitted is None or admitted.slot is None:
            return (), self.enter(bulkhead, visitor)
        entry = self._entry(bulkhead, visitor)
        try:
            woken, reply = self._link.run(
                self._exit(admitted.bulkhead, admitted.slot, heard), entry.request, undo=entry.undo
            )
        except GateUnreachable:
            return (), entry.without_redis()
        return [parse_waiter(name) for name in woken], entry.read(reply)

    def _entry(self, bulkhead: Bulkhead, visitor: Visitor) -> Entry:
        return Entry.of(door_of(bulkhead, self._keys), visitor, self._draw())

    def _exit(self, bulkhead: Bulkhead, slot: Slot, heard: Heard) -> Request:
        return door_of(bulkhead, self._keys).leave(slot, heard, _hold_s(heard), self._draw())

    def capacity(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return how many more steps may be woken. Without Redis some are: they are let in or not by their policy."""
        if not names:
            return {}
        try:
            (found,) = self._link.run(request(scripts.CAPACITY, self._keys.bulkheads(names)))
        except GateUnreachable:
            return dict.fromkeys(names, _UNKNOWN_ROOM)
        return {name: _UNKNOWN_ROOM if room < 0 else room for name, room in zip(names, found, strict=True)}

    def held(self, bulkheads: Sequence[str], holder: str) -> Sequence[Held]:
        """Return what a worker holds in bulkheads. Raises GateUnreachable, an OSError."""
        if not bulkheads:
            return ()
        (found,) = self._link.run(request(scripts.HELD, self._keys.bulkheads(bulkheads), [f"{holder}:"]))
        return [held_of(name, member) for name, members in zip(bulkheads, found, strict=True) for member in members]

    def evict(self, bulkhead: str, run_id: str, step_index: int, holder: str | None = None) -> None:
        """Give back what a lost attempt holds. Where Redis is away, its lease ends by itself."""
        members = f"{holder or ''}{attempts_of(run_id, step_index)}"
        try:
            self._link.run(request(scripts.EVICT, self._keys.bulkhead(bulkhead), [members]))
        except GateUnreachable:
            return

    def hold_open(self, breaker: str, seconds: float, reason: str) -> None:
        """Open a breaker for so long; one that is open for longer stays so. Raises GateUnreachable."""
        if not math.isfinite(seconds) or not 0 < seconds <= _LONGEST_HOLD_S:
            raise AgentflowError(
                f"Can't hold {breaker!r} open for {seconds!r} s: give more than none, and a year at most"
            )
        self._link.run(request(scripts.HOLD_OPEN, self._keys.breaker(breaker), [seconds, reason[:_LONGEST_REASON]]))

    def close_breaker(self, breaker: str) -> None:
        """Close a breaker and forget its failures. Raises GateUnreachable."""
        self._link.run(request(scripts.CLOSE_BREAKER, self._keys.breaker(breaker)))

    def states(self, bulkheads: Mapping[str, str]) -> Sequence[BulkheadState]:
        """Return how bulkheads stand. `slots` is 0 where nobody has entered yet. Raises GateUnreachable, an OSError."""
        if not bulkheads:
            return ()
        keys = [key for name, breaker in bulkheads.items() for key in self._keys.of(name, breaker)]
        (found,) = self._link.run(request(scripts.STATES, keys))
        return [_state(name, values) for name, values in zip(bulkheads, found, strict=True)]


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
