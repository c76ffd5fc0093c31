"""What the engine asks of a gate, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agentflow.declare.limits import Limits
from agentflow.domain.waiting import Denial


@dataclass(frozen=True, slots=True)
class Bulkhead:
    """What is asked to enter: a tool or a model. Bulkheads that depend on one thing name the same `breaker`."""

    name: str
    breaker: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Visitor:
    """The step that wants to enter.

    `holder` is the worker's boot id, `lease_s` how long the slot is its own at most, `rate_keys` one for each rate of
    the bulkhead (None for a rate that all share), `pool_slots` how many steps of this worker the bulkhead may hold at
    once (None: as many as there are).
    """

    run_id: str
    step_index: int
    holder: str
    lease_s: float
    is_retry: bool = False
    rate_keys: Sequence[str | None] = ()
    pool_slots: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """What an admitted step holds: all that is needed to take it back, since the gate may have forgotten it.

    `member` is its name there, `generation` the breaker's in which it was given.
    """

    member: str
    generation: str
    is_retry: bool
    rate_keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Admitted:
    """The step may call. `slot` is what it holds; `is_probe` says that the breaker is half open.

    `slot` is None where the gate was out of reach and the bulkhead's policy is to go on.
    """

    bulkhead: Bulkhead
    slot: Slot | None
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """The step has to wait: `after_s` seconds by what is known now; it is woken before if there is room earlier."""

    reason: Denial
    after_s: float


class Verdict(StrEnum):
    """What a call says of the thing behind the bulkhead."""

    OK = "ok"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Heard:
    """What the gate is told after a call. `throttled`: the other side asks for less; `retry_after_s`: for how long.

    UNUSED means that no call was made: a probe's turn goes back, a rate's token does not count.
    """

    verdict: Verdict
    throttled: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A step that was denied, and for which there may be room now."""

    run_id: str
    step_index: int


@dataclass(frozen=True, slots=True)
class Held:
    """A slot that a step has, or a message under its id and item."""

    bulkhead: str
    run_id: str
    step_index: int


@dataclass(frozen=True, slots=True)
class BulkheadState:
    """A bulkhead as an operator sees it. `breaker` is closed, open or half_open; times are seconds from now."""

    name: str
    breaker: str
    open_for_s: float
    failures: int
    in_use: int
    slots: int
    waiting: int
    throttled_for_s: float
    reason: str | None = None


class Gate(Protocol):
    """Something that says who may call, fleet-wide."""

    def enter(self, bulkhead: Bulkhead, visitor: Visitor) -> Admitted | Denied:
        """Ask to call. A denied step is remembered, so that room that frees just then is not lost on it."""
        ...

    def leave(self, admitted: Admitted, heard: Heard) -> Sequence[Waiter]:
        """Give the slot back and tell what became of the call; return the steps to wake, at most as many as fit."""
        ...

    def pass_on(
        self, admitted: Admitted | None, heard: Heard, bulkhead: Bulkhead, visitor: Visitor
    ) -> tuple[Sequence[Waiter], Admitted | Denied]:
        """Leave the one bulkhead, if any, then ask to enter the next, in one round trip; return what both answer."""
        ...

    def capacity(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return for each bulkhead how many more steps may be woken now."""
        ...

    def held(self, bulkheads: Sequence[str], holder: str) -> Sequence[Held]:
        """Return what a worker holds in bulkheads; raise OSError where there is no answer."""
        ...

    def evict(self, bulkhead: str, run_id: str, step_index: int, holder: str | None = None) -> None:
        """Give back the slot of an attempt that is lost, whoever holds it or one holder alone."""
        ...

    def hold_open(self, breaker: str, seconds: float, reason: str) -> None:
        """Open a breaker for so long, whatever the calls say."""
        ...

    def close_breaker(self, breaker: str) -> None:
        """Close a breaker, on an operator's word."""
        ...

    def states(self, bulkheads: Mapping[str, str]) -> Sequence[BulkheadState]:
        """Return how bulkheads stand, given the breaker of each by name; raise OSError where there is no answer."""
        ...
