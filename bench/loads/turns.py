"""Owns the comparison of two stacks: the same load goes to the one and the other in turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Figure
from bench.loads.rate import Rate, measure_rate
from bench.stack import Stack

_WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Compared:
    """The rates of both sides, a turn each."""

    plain: Sequence[Rate]
    laden: Sequence[Rate]

    @property
    def throughput(self) -> float:
        """The steps per second of the laden side, in those of the plain one."""
        return _per_second(self.laden) / _per_second(self.plain)

    def figures(self, plain: str, laden: str, *, throughput: float) -> Iterator[Figure]:
        """Yield both sides' medians and what becomes of the throughput, beside what is to be left of it."""
        for name, rates in ((plain, self.plain), (laden, self.laden)):
            yield Figure(f"{name}: steps per second", _per_second(rates), "/s")
            yield Figure(f"{name}: CPU seconds per 1,000 steps", _cpu(rates), "s")
            yield Figure(f"{name}: WAL per step", statistics.median(rate.wal_bytes / rate.steps for rate in rates), "B")
        yield Figure(f"throughput, {laden} to {plain}", self.throughput, "x", above=throughput)
        yield Figure("  CPU of a step", _cpu(self.laden) / _cpu(self.plain), "x")


def compare(plain: Stack, laden: Stack, agent: str, inputs: Sequence[Any], *, turns: int) -> Compared:
    """Warm both up, and give each the load in turns."""
    for stack in (plain, laden):
        measure_rate(stack, agent, inputs[:_WARM_UP])
    rates = [(measure_rate(plain, agent, inputs), measure_rate(laden, agent, inputs)) for _ in range(turns)]
    return Compared([first for first, _ in rates], [second for _, second in rates])


def _per_second(rates: Sequence[Rate]) -> float:
    return statistics.median(rate.per_second for rate in rates)


def _cpu(rates: Sequence[Rate]) -> float:
    return statistics.median(rate.cpu_s_per_1000 for rate in rates)
