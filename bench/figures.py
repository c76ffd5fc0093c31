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
    """One figure of the work in one `form`, where it has several.

    Its goal, where it has one, is to stay `below` a value, or to reach the one that it should be `above`.
    """

    name: str
    value: float
    unit: str
    below: float | None = None
    above: float | None = None
    form: str | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.below is None and self.above is None:
            return None
        return (self.below is None or self.value < self.below) and (self.above is None or self.value >= self.above)

    @property
    def goal(self) -> str:
        """The goal in words; empty where there is none."""
        bounds = [f"< {self.below:.4g}"] if self.below is not None else []
        bounds += [f">= {self.above:.4g}"] if self.above is not None else []
        return f"{' and '.join(bounds)} {self.unit}".rstrip() if bounds else ""

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON data."""
        return {**asdict(self), "is_met": self.is_met}


def spread(name: str, values: Sequence[float], unit: str, below: float) -> Iterator[Figure]:
    """Yield the median and the maximum; the goal is the maximum's."""
    yield Figure(f"{name}: median of {len(values)}", statistics.median(values), unit)
    yield Figure(f"{name}: max", max(values), unit, below)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that this share of the values does not exceed."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
