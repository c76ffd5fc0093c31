"""Limits of a bulkhead: how much may be asked of what stands behind a tool or a model, and when to leave it alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from agentflow.domain.errors import DeclarationError

WhenUnreachable = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """When calls are stopped because they fail: `failures` within `within_s` seconds open it for `open_s`.

    Each opening that follows a failed probe lasts twice as long as the one before, up to ten minutes, with jitter.
    Half open it lets `probes` calls through at a time.
    """

    failures: int = 20
    within_s: float = 60.0
    open_s: float = 30.0
    probes: int = 1

    def __post_init__(self) -> None:
        _check(self, "failures", self.failures, whole=True)
        _check(self, "within_s", self.within_s)
        _check(self, "open_s", self.open_s)
        _check(self, "probes", self.probes, whole=True)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls per period of `per_s` seconds, evenly spaced beyond the first burst.

    With `key`, a template over the tool's parameters and `user_id`, each value has a rate of its own.
    """

    calls: int
    per_s: float = 1.0
    key: str | None = None

    def __post_init__(self) -> None:
        _check(self, "calls", self.calls, whole=True)
        _check(self, "per_s", self.per_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one bulkhead, fleet-wide.

    `slots` calls at once; 429 and 529 halve that number for a while, success lets it grow back. `rates` all have to
    allow a call. Of the calls of a minute, retries are at most `retry_share`, and `retry_floor` more.
    `when_unreachable` says whether calls go on (`open`) or wait (`closed`) while Redis does not answer.
    """

    slots: int = 64
    rates: tuple[Rate, ...] = ()
    breaker: Breaker = field(default_factory=Breaker)
    retry_share: float = 0.2
    retry_floor: int = 10
    when_unreachable: WhenUnreachable = "closed"

    def __post_init__(self) -> None:
        _check(self, "slots", self.slots, whole=True)
        if not 0 <= self.retry_share <= 1:
            raise DeclarationError(f"Limits(retry_share={self.retry_share!r}): give a share between 0 and 1")
        if self.retry_floor < 0 or int(self.retry_floor) != self.retry_floor:
            raise DeclarationError(f"Limits(retry_floor={self.retry_floor!r}): give a whole number, zero or more")
        if self.when_unreachable not in {"open", "closed"}:
            raise DeclarationError(f"Limits(when_unreachable={self.when_unreachable!r}): give 'open' or 'closed'")
        if not all(isinstance(rate, Rate) for rate in self.rates):
            raise DeclarationError(f"Limits(rates={self.rates!r}): give a tuple of Rate(calls, per_s)")


def _check(owner: object, name: str, value: Any, *, whole: bool = False) -> None:
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or value <= 0:
        kind = "a whole number" if whole else "a finite number"
        raise DeclarationError(f"{type(owner).__name__}({name}={value!r}): give {kind} above zero")
