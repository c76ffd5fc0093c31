"""Owns what a benchmark finds: figures, each beside its goal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any


class Skipped(Exception):
    """The benchmark can't be taken on this machine; the message says why."""


class Broken(Exception):
    """What is measured did not work; the message says how."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `below` is its goal, where it has one."""

    name: str
    value: float
    unit: str
    below: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        return None if self.below is None else self.value < self.below

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON data."""
        return {**asdict(self), "is_met": self.is_met}


def spread(name: str, values: Sequence[float], unit: str, below: float) -> Iterator[Figure]:
    """Yield the median and the maximum; the goal is the maximum's."""
    yield Figure(f"{name}: median of {len(values)}", statistics.median(values), unit)
    yield Figure(f"{name}: max", max(values), unit, below)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that this share of the values does not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
