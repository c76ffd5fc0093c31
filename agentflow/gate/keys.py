"""Owns the names of the gate's keys in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.declare.limits import Rate

_DIGEST_BYTES = 12


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below one prefix. In braces stands what Redis Cluster would place them by."""

    prefix: str

    def of(self, bulkhead: str, breaker: str) -> list[str]:
        """Return the keys of a bulkhead and its breaker, in the order of `keys_from` in the scripts."""
        return [*self.bulkhead(bulkhead), *self.breaker(breaker)]

    def bulkhead(self, name: str) -> list[str]:
        """Return a bulkhead's own keys."""
        return [f"{self.prefix}:{kind}:{{{name}}}" for kind in ("standing", "slots", "waiters", "woken")]

    def bulkheads(self, names: Sequence[str]) -> list[str]:
        """Return the keys of several bulkheads."""
        return [key for name in names for key in self.bulkhead(name)]

    def breaker(self, name: str) -> list[str]:
        """Return a breaker's keys."""
        return [f"{self.prefix}:{kind}:{{{name}}}" for kind in ("breaker", "failures", "probes")]

    def rates(self, bulkhead: str, rates: Sequence[Rate], values: Sequence[str | None]) -> list[str]:
        """Return the key of each rate; a value that is missing means the one that all share."""
        given = [*values[: len(rates)], *[None] * (len(rates) - len(values))]
        return [self.rate(bulkhead, place, value) for place, value in enumerate(given)]

    def rate(self, bulkhead: str, place: int, value: str | None = None) -> str:
        """Return one rate's key. A value may be long, and somebody's name: its digest stands for it."""
        shared = f"{self.prefix}:rate:{{{bulkhead}}}:{place}"
        return shared if value is None else f"{shared}:{_digest(value)}"


def _digest(value: str) -> str:
    return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
