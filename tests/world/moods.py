"""Owns what the outside world does wrong: the words of its faults, and the dice that choose among them."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping

REFUSALS = ("429", "429_after_s", "429_date", "503", "529")
BEFORE = (*REFUSALS, "500_before", "hang_before", "cut_before")
AFTER = ("500_after", "hang_after", "cut_after", "malformed", "garbage", "truncated")
SLIPS = ("duplicate_ids", "missing_ids", "unknown_tool", "bad_arguments")
LETTERS = ("451", "550", "cut_before", "hang_before", "cut_after", "hang_after", "451_dot")
LATE = "late"
GIVEN_UP = "given_up"

APPLICABLE: Mapping[str, tuple[str, ...]] = {
    "read": (*BEFORE, *AFTER),
    "keyed": (*BEFORE, *AFTER, LATE),
    # Not late: an old state that lands over a newer one breaks what the class is told it may rely on.
    "idempotent": (*BEFORE, *AFTER),
    "verified": (*BEFORE, *AFTER, LATE),
    "verify": (*BEFORE, *AFTER),
    "unsafe": (*BEFORE, *AFTER, LATE),
    "undo": (*BEFORE, *AFTER, LATE),
    "hook": (*BEFORE, "500_after", "hang_after", "cut_after", "garbage", LATE),
    "mail": LETTERS,
    "model": (*BEFORE, *AFTER, *SLIPS),
}
"""The faults that each door can have."""

Moods = Mapping[str, Mapping[str, float]]
"""By door, or `*` for each door that can have it: how often a fault happens, as a share of what arrives."""

HANGS_S = 30.0


def spread(moods: Moods) -> dict[str, dict[str, float]]:
    """Return the shares of each door; raise ValueError for what no door has, and shares that are none."""
    everywhere = moods.get("*", {})
    unknown = set(everywhere) - {fault for faults in APPLICABLE.values() for fault in faults}
    _refuse(unknown, "any door")
    shares = {
        door: {fault: everywhere[fault] for fault in APPLICABLE[door] if fault in everywhere} for door in APPLICABLE
    }
    for door, own in moods.items():
        if door != "*":
            _refuse({door} - set(APPLICABLE), "the world")
            _refuse(set(own) - set(APPLICABLE[door]), f"the door {door!r}")
            shares[door] |= own
    if any(not 0 <= share <= 1 for own in shares.values() for share in own.values()):
        raise ValueError("a share is a number from 0 to 1")
    return {door: own for door, own in shares.items() if own}


class Dice:
    """Choose a fault, or none, for each arrival. The seed, the door and the count of its arrivals decide."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._thrown: Counter[str] = Counter()
        self._shares: dict[str, dict[str, float]] = {}
        self._guard = threading.Lock()
        self._healed = threading.Event()

    def misbehave(self, moods: Moods) -> None:
        """From now on have these faults, and no others."""
        shares = spread(moods)
        with self._guard:
            self._shares = shares
            self._healed.clear()

    def heal(self) -> None:
        """Have no more faults, and let go what hangs."""
        with self._guard:
            self._shares = {}
            self._healed.set()

    def throw(self, door: str) -> tuple[str | None, random.Random]:
        """Return the fault of the next arrival at a door, and what else is drawn for it."""
        with self._guard:
            self._thrown[door] += 1
            drawn = random.Random(f"{self._seed}/{door}/{self._thrown[door]}")
            left = drawn.random()
            for fault, share in self._shares.get(door, {}).items():
                left -= share
                if left < 0:
                    return fault, drawn
        return None, drawn

    def hang(self) -> None:
        """Wait until the world heals, for 30 s at most."""
        self._healed.wait(HANGS_S)


def _refuse(unknown: set[str], where: str) -> None:
    if unknown:
        raise ValueError(f"{where} has no {sorted(unknown)}; doors and their faults: {dict(APPLICABLE)}")
