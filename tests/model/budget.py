"""Parallel model calls under one ceiling: what a call may cost is reserved before it, and what it did cost is charged.

due --there is room--> asking --answered--> answered --recorded--> ok
due --no room just now--> parked, until a reservation ends; or no room at all: refused
asking, answered --its process is killed--> lost --taken back, charged at its projection--> due
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import Move, replaced

PROJECTED = 2
COSTS = (1, PROJECTED)
_FINAL = frozenset({"ok", "refused"})


class Call(NamedTuple):
    """A model step, and what its provider has charged for its attempt."""

    doing: str = "due"
    cost: int = 0


class State(NamedTuple):
    """The calls, the run's counters, and what the provider will bill for them all."""

    calls: tuple[Call, ...]
    faults: int
    spent: int = 0
    reserved: int = 0
    billed: int = 0


@dataclass(frozen=True)
class Guards:
    """Rules of Claim and Sweeper."""

    reservation: bool = True  # Claim: reserves the budget
    projection: bool = True  # Sweeper: a lost attempt is settled at its projection
    release: bool = True  # Record: what was reserved ends with the call
    wake: bool = True  # who waited for a reservation to end is woken by the transaction that ends it


@dataclass(frozen=True)
class BudgetMachine:
    """As many calls as processes, and room for all of them but one half."""

    processes: int = 2
    faults: int = 3
    guards: Guards = Guards()

    @property
    def ceiling(self) -> int:
        """What the run may cost."""
        return PROJECTED * self.processes - 1

    def start(self) -> State:
        """Return calls that are all due."""
        return State((Call(),) * self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that workers and faults may do."""
        for place, call in enumerate(state.calls):
            match call.doing:
                case "due":
                    yield self._claim(state, place)
                case "asking":
                    yield from _answer(state, place)
                    yield from _kill(state, place)
                case "answered":
                    yield Move(f"call {place} is recorded at {call.cost}", self._settled(state, place, "ok", call.cost))
                    yield from _kill(state, place)
                case "lost":
                    charged = PROJECTED if self.guards.projection else 0
                    yield Move(f"call {place} is taken back at {charged}", self._settled(state, place, "due", charged))

    def _claim(self, state: State, place: int) -> Move:
        reserved = state.reserved if self.guards.reservation else 0
        if state.spent + reserved + PROJECTED <= self.ceiling:
            claimed = _with(state, place, doing="asking", cost=0)
            return Move(f"call {place} is claimed", claimed._replace(reserved=state.reserved + PROJECTED))
        if reserved and state.spent + PROJECTED <= self.ceiling:
            return Move(f"call {place} waits for a reservation to end", _with(state, place, doing="parked"))
        return Move(f"call {place} is refused: no budget is left", _with(state, place, doing="refused"))

    def _settled(self, state: State, place: int, doing: str, charged: int) -> State:
        released = PROJECTED if self.guards.release else 0
        state = _with(state, place, doing=doing, cost=0)
        state = state._replace(spent=state.spent + charged, reserved=state.reserved - released)
        if not self.guards.wake:
            return state
        woken = tuple(each._replace(doing="due") if each.doing == "parked" else each for each in state.calls)
        return state._replace(calls=woken)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: more counted, or billed, than allowed; money uncounted; something left over."""
        if state.spent + state.reserved > self.ceiling:
            return "spent and reserved are over the ceiling"
        if state.billed > state.spent + state.reserved:
            return "more is billed than is counted"
        if state.reserved and all(call.doing in _FINAL for call in state.calls):
            return "something is reserved at the end"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether each call is answered, or refused for want of money."""
        return all(call.doing in _FINAL for call in state.calls)


def _answer(state: State, place: int) -> Iterator[Move]:
    for cost in COSTS:
        answered = _with(state, place, doing="answered", cost=cost)
        yield Move(f"call {place} is answered, and billed {cost}", answered._replace(billed=state.billed + cost))


def _kill(state: State, place: int) -> Iterator[Move]:
    if state.faults:
        lost = _with(state, place, doing="lost", cost=0)._replace(faults=state.faults - 1)
        yield Move(f"the process of call {place} ({state.calls[place].doing}) is killed", lost, is_fault=True)


def _with(state: State, place: int, **changes: object) -> State:
    return state._replace(calls=replaced(state.calls, place, **changes))
