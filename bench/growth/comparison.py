"""Owns the comparison: the same load on empty tables and on full ones, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import Figure
from bench.growth.agents import LINE
from bench.loads.rate import Rate, measure_rate
from bench.stack import Stack

WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Compared:
    """The rates of both sides, a turn each."""

    empty: Sequence[Rate]
    full: Sequence[Rate]

    def figures(self) -> Iterator[Figure]:
        """Yield both sides' medians, and the ratio: above 0.9 is the goal."""
        for name, rates in (("empty tables", self.empty), ("full tables", self.full)):
            yield Figure(f"{name}: steps per second", _per_second(rates), "/s")
            yield Figure(f"{name}: CPU seconds per 1,000 steps", _cpu(rates), "s")
            yield Figure(f"{name}: WAL per step", statistics.median(rate.wal_bytes / rate.steps for rate in rates), "B")
        yield Figure("ratio of steps per second, full to empty (goal: at least 0.9)", self.ratio, "x")
        yield Figure("ratio of CPU per step, full to empty", _cpu(self.full) / _cpu(self.empty), "x")

    @property
    def ratio(self) -> float:
        """The throughput on full tables, of that on empty ones."""
        return _per_second(self.full) / _per_second(self.empty)


def load(stack: Stack, runs: int) -> Rate:
    """Run the ordinary load on one stack."""
    return measure_rate(stack, LINE, [{"number": number} for number in range(runs)])


def compare(empty: Stack, full: Stack, *, runs: int, turns: int) -> Compared:
    """Warm both up, and give each the load in turns."""
    for stack in (empty, full):
        load(stack, WARM_UP)
    rates = [(load(empty, runs), load(full, runs)) for _ in range(turns)]
    return Compared([first for first, _ in rates], [second for _, second in rates])


def _per_second(rates: Sequence[Rate]) -> float:
    return statistics.median(rate.per_second for rate in rates)


def _cpu(rates: Sequence[Rate]) -> float:
    return statistics.median(rate.cpu_s_per_1000 for rate in rates)
