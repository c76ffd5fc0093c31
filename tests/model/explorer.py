"""Visiting every state of a machine, in order of distance, until something is broken or nothing is left."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from tests.model.machine import Machine

STUCK = "nothing leads to an end any more"


@dataclass(frozen=True)
class Violation:
    """What is broken, and the shortest way to it."""

    reason: str
    trace: tuple[str, ...]


@dataclass(frozen=True)
class Explored:
    """How many states there are, and the nearest violation, if any."""

    states: int
    violation: Violation | None


@dataclass
class _Map:
    """The states found so far by number, how each was reached, and from where without a fault."""

    states: list[Hashable] = field(default_factory=list)
    numbers: dict[Hashable, int] = field(default_factory=dict)
    reached: list[tuple[int, str]] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)

    def find(self, state: Hashable, origin: int, move: str) -> int:
        """Return a state's number, giving it one where it is new."""
        number = self.numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            self.reached.append((origin, move))
            self.before.append([])
        return number

    def violation(self, number: int, reason: str) -> Violation:
        """Return a violation in a state, with the moves that lead there."""
        trace: list[str] = []
        while number:
            number, move = self.reached[number]
            trace.append(move)
        return Violation(reason, tuple(reversed(trace)))


def explore(machine: Machine) -> Explored:
    """Visit all states of a machine; stop at the first that is broken, else look for the nearest that is stuck."""
    found = _Map()
    found.find(machine.start(), 0, "")
    for number, state in enumerate(found.states):
        if reason := machine.broken(state):
            return Explored(len(found.states), found.violation(number, reason))
        for name, following, is_fault in machine.moves(state):
            reached = found.find(following, number, name)
            if not is_fault:
                found.before[reached].append(number)
    return Explored(len(found.states), _stuck(machine, found))


def _stuck(machine: Machine, found: _Map) -> Violation | None:
    """Return the nearest state from which no end is in reach without another fault."""
    alive = {number for number, state in enumerate(found.states) if machine.is_end(state)}
    reaching = list(alive)
    while reaching:
        earlier = [number for number in found.before[reaching.pop()] if number not in alive]
        alive.update(earlier)
        reaching.extend(earlier)
    lost = next((number for number in range(len(found.states)) if number not in alive), None)
    return None if lost is None else found.violation(lost, STUCK)
