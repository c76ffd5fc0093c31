"""Owns what stays the same between the visits of one bulkhead: its keys and its terms, as they are sent."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.gate import scripts
from agentflow.gate.keys import Keys
from agentflow.gate.protocol import Bulkhead, Heard, Slot, Visitor
from agentflow.gate.request import Opening, Request, opening, pack
from agentflow.gate.slot import waiter_name
from agentflow.gate.terms import terms_of

# What follows the terms, in `enter` and in `leave`.
_ARGUMENTS = 7


@dataclass(frozen=True, slots=True)
class Door:
    """A bulkhead's way in and its way out. Where all of its rates are shared, their keys are packed too."""

    bulkhead: Bulkhead
    keys: Keys
    entering: Opening
    leaving: Opening
    evicting: Opening
    terms: bytes
    shared_rates: tuple[str, ...] | None

    def rate_keys(self, visitor: Visitor) -> Sequence[str]:
        """Return the keys of the rates that a visitor counts for."""
        if self.shared_rates is not None:
            return self.shared_rates
        return self.keys.rates(self.bulkhead.name, self.bulkhead.limits.rates, visitor.rate_keys)

    def enter(self, visitor: Visitor, member: str, rate_keys: Sequence[str], draw: float) -> Request:
        """Return what a visitor asks under a member's name."""
        return self._ask(
            self.entering,
            rate_keys,
            waiter_name(visitor),
            member,
            f"{visitor.holder}:",
            visitor.lease_s,
            int(visitor.is_retry),
            -1 if visitor.pool_slots is None else visitor.pool_slots,
            draw,
        )

    def leave(self, slot: Slot, heard: Heard, hold_s: float, draw: float) -> Request:
        """Return what is said at the end of a visit."""
        return self._ask(
            self.leaving,
            slot.rate_keys,
            slot.member,
            slot.generation,
            int(slot.is_retry),
            heard.verdict,
            int(heard.throttled),
            hold_s,
            draw,
        )

    def evict(self, member: str) -> Request:
        """Return what takes one member's slot back."""
        return self.evicting.then(member)

    def _ask(self, begun: Opening, rate_keys: Sequence[str], *rest: str | float) -> Request:
        if self.shared_rates is not None:
            return begun.then(*rest)
        return Request(begun.script, begun.packed + pack(rate_keys) + self.terms + pack(rest))


@functools.lru_cache(maxsize=1024)
def door_of(bulkhead: Bulkhead, keys: Keys) -> Door:
    """Return the door of a bulkhead as it is declared now."""
    rates, own = bulkhead.limits.rates, keys.of(bulkhead.name, bulkhead.breaker)
    are_shared = all(rate.key is None for rate in rates)
    terms = pack([terms_of(bulkhead, keys)])
    shared = tuple(keys.rates(bulkhead.name, rates, ())) if are_shared else None

    def begin(script: scripts.Script) -> Opening:
        begun = opening(script, own, more_keys=len(rates), more_arguments=1 + _ARGUMENTS)
        return begun if shared is None else Opening(script, begun.packed + pack(shared) + terms)

    evicting = opening(scripts.EVICT, keys.bulkhead(bulkhead.name), more_arguments=1)
    return Door(bulkhead, keys, begin(scripts.ENTER), begin(scripts.LEAVE), evicting, terms, shared)
