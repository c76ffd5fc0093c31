"""Owns what the rounds found: medians, and ratios between peers that were measured in the same round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Outcome = Mapping[str, Any]

REFERENCES = ("absurd", "dbos", "celery")
KINDS = ("client", "workers", "Postgres", "Valkey")


def is_outcome(line: Mapping[str, Any]) -> bool:
    """Tell an outcome from the line that says what all have in common."""
    return "peer" in line


def names(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the peers, those with figures, fastest first, before those without."""
    rates = {
        name: median_of(outcomes, name, "steps_per_s") for name in dict.fromkeys(each["peer"] for each in outcomes)
    }
    return sorted(rates, key=lambda name: -(rates[name] or 0.0))


def values(outcomes: Sequence[Outcome], name: str, figure: str) -> list[float]:
    """Return what a peer's rounds found of a figure."""
    return [each[figure] for each in outcomes if each["peer"] == name and each.get(figure) is not None]


def median_of(outcomes: Sequence[Outcome], name: str, figure: str) -> float | None:
    """Return the median of a peer's rounds, None where there is none."""
    found = values(outcomes, name, figure)
    return median(found) if found else None


def split_of(outcomes: Sequence[Outcome], name: str) -> dict[str, float]:
    """Return a peer's CPU seconds per 1,000 steps by what used them, medians of the rounds."""
    splits = [each["cpu_split"] for each in outcomes if each["peer"] == name and "cpu_split" in each]
    return {kind: median(split.get(kind, 0.0) for split in splits) for kind in KINDS} if splits else {}


def ratio(outcomes: Sequence[Outcome], figure: str, name: str, reference: str) -> float | None:
    """Return how much of the reference's figure a peer has: the median of the ratios within a round."""
    of_reference = {each["round"]: each[figure] for each in outcomes if each["peer"] == reference and figure in each}
    found = [
        each[figure] / of_reference[each["round"]]
        for each in outcomes
        if each["peer"] == name and figure in each and of_reference.get(each["round"])
    ]
    return median(found) if found else None


def of_floor(outcomes: Sequence[Outcome], name: str) -> float | None:
    """Return a peer's steps per transaction of the floor that was measured right before: the median of the rounds."""
    found = [
        each["steps_per_s"] / each["floor"]["per_second"]
        for each in outcomes
        if each["peer"] == name and "steps_per_s" in each
    ]
    return median(found) if found else None


def settings(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return the peers' versions and settings, by peer."""
    return {each["peer"]: f"{each['version']}, {each['setting']}" for each in outcomes if "setting" in each}


def missing(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return why peers have rounds without figures, by peer: the last reason."""
    return {each["peer"]: each["none_because"] for each in outcomes if "none_because" in each}
