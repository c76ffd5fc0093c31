"""Which cases there are, which of them make the sample, and which are played side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.victims import FATES, Case

Points = Mapping[str, Sequence[str]]

PINNED = Path(__file__).with_name("points.json")
"""How many points each scenario has."""

TOGETHER = 40
"""So many cases share a database; leases are waited for once for all of them."""

EVERY = 17
"""The sample has every so-many-th point of each scenario, from an offset of the scenario's own, killed and frozen."""

_ALWAYS = ("unsafe", "verified", "keyed")
_COMMITS = ("before commit", "after commit")
_CONTINUED = "entered_first"
_FROZEN_AT = (*_COMMITS, "before POST /verified")


def all_cases(points: Points) -> list[Case]:
    """Return every point of every scenario, killed and frozen."""
    return [Case(name, at, label, how) for name, at, label in _numbered(points) for how in FATES]


def sample(points: Points) -> list[Case]:
    """Return every 17th point, killed or frozen in turn; the commits of claim and record of three classes, both.

    Who continues a run is frozen at each commit, and before the call that must not be made late.
    """
    chosen: dict[Case, None] = {}
    offsets = {name: 1 + 7 * place % min(EVERY, len(points[name])) for place, name in enumerate(points)}
    for name, at, label in _numbered(points):
        if at >= offsets[name] and (at - offsets[name]) % EVERY == 0:
            chosen[Case(name, at, label, list(FATES)[at // EVERY % 2])] = None
        if name in _ALWAYS and label in _COMMITS:
            chosen.update(dict.fromkeys(Case(name, at, label, how) for how in FATES))
        if name == _CONTINUED and label in _FROZEN_AT:
            chosen[Case(name, at, label, "freeze")] = None
    return list(chosen)


def units(cases: Sequence[Case]) -> list[list[Case]]:
    """Return the cases in groups that are played side by side, the longest first."""
    alone = [[case] for case in cases if SCENARIOS[case.scenario].is_alone]
    # Dealt out: a group of frozen ones alone would begin to thaw before its last is struck.
    others = [case for case in cases if not SCENARIOS[case.scenario].is_alone]
    hands = -(-len(others) // TOGETHER)
    return [*(others[place::hands] for place in range(hands)), *alone]


def _numbered(points: Points) -> Iterator[tuple[str, int, str]]:
    for name, labels in points.items():
        for at, label in enumerate(labels, start=1):
            yield name, at, label
