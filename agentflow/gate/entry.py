"""Owns one visitor's asking to enter: what is sent, what takes it back, and what the answer means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain.waiting import Denial
from agentflow.gate.door import Door
from agentflow.gate.protocol import Admitted, Denied, Slot, Visitor
from agentflow.gate.request import Request
from agentflow.gate.slot import member_of

_UNAVAILABLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One visitor before a door, under a member's name of its own."""

    door: Door
    visitor: Visitor
    member: str
    rate_keys: Sequence[str]
    draw: float

    @classmethod
    def of(cls, door: Door, visitor: Visitor, draw: float) -> Entry:
        """Return a visitor's entry."""
        return cls(door, visitor, member_of(visitor), door.rate_keys(visitor), draw)

    @property
    def request(self) -> Request:
        """What asks for it."""
        return self.door.enter(self.visitor, self.member, self.rate_keys, self.draw)

    def undo(self) -> Request:
        """What takes the slot back, if there is one: an answer that is lost may have been a yes."""
        return self.door.evict(self.member)

    def read(self, reply: Any) -> Admitted | Denied:
        """Return what the gate's answer means."""
        match reply:
            case ["admitted", generation, is_probe]:
                slot = Slot(self.member, generation, self.visitor.is_retry, self.rate_keys)
                return Admitted(self.door.bulkhead, slot, is_probe == "1")
            case [reason, after_s]:
                return Denied(Denial(reason), float(after_s))
        raise AssertionError(reply)

    def without_redis(self) -> Admitted | Denied:
        """Return what the bulkhead's policy says where there is no answer."""
        if self.door.bulkhead.limits.when_unreachable == "open":
            return Admitted(self.door.bulkhead, None)
        return Denied(Denial.GATE_UNAVAILABLE, _UNAVAILABLE_S * (0.8 + 0.4 * self.draw))
