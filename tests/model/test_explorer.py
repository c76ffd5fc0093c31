"""The explorer finds what is broken and what is stuck, by the shortest way, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.model.explorer import STUCK, explore
from tests.model.machine import Move


@dataclass(frozen=True)
class Streets:
    """Places by name, each with those that one gets to; with a `!` only by a fault."""

    streets: Mapping[str, str]
    pit: str = ""

    def start(self) -> str:
        """Return the place `a`."""
        return "a"

    def moves(self, state: str) -> Iterator[Move]:
        """Return the streets from here."""
        for name in self.streets.get(state, "").split():
            yield Move(f"to {name}", name.strip("!"), is_fault=name.endswith("!"))

    def broken(self, state: str) -> str | None:
        """Fall into the pit."""
        return "fell" if state == self.pit else None

    def is_end(self, state: str) -> bool:
        """Answer whether this is the place `z`."""
        return state == "z"


def test_every_place_that_can_be_reached_is_counted_once() -> None:
    explored = explore(Streets({"a": "b c", "b": "c a z", "c": "b", "nowhere": "z"}))

    assert (explored.states, explored.violation) == (4, None)


def test_the_shortest_way_to_what_is_broken_is_told() -> None:
    violation = explore(Streets({"a": "b c", "b": "d", "c": "pit", "d": "pit z"}, pit="pit")).violation

    assert violation is not None
    assert (violation.reason, violation.trace) == ("fell", ("to c", "to pit"))


def test_a_start_that_is_broken_has_no_way_to_it() -> None:
    violation = explore(Streets({"a": "z"}, pit="a")).violation

    assert violation is not None
    assert violation.trace == ()


@pytest.mark.parametrize(
    ("streets", "trace"),
    [
        ({"a": "b z", "b": ""}, ("to b",)),
        ({"a": "b z", "b": "c", "c": "b"}, ("to b",)),
        ({"a": "z b!", "b": "z!"}, ("to b!",)),
        ({"a": "z!"}, ()),
    ],
    ids=["dead end", "circle", "only a fault leads on", "from the start only a fault leads on"],
)
def test_what_no_end_can_be_reached_from_without_another_fault_is_stuck(
    streets: Mapping[str, str], trace: tuple[str, ...]
) -> None:
    violation = explore(Streets(streets)).violation

    assert violation is not None
    assert (violation.reason, violation.trace) == (STUCK, trace)


def test_a_circle_that_can_be_left_is_not_stuck() -> None:
    assert explore(Streets({"a": "b", "b": "a c!", "c": "a z"})).violation is not None
    assert explore(Streets({"a": "b", "b": "a c", "c": "a z"})).violation is None
