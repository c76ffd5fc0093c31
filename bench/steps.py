"""Measures what a step costs: as configured, with every step through the broker, and as a bare Celery chain.

The forms take turns with each other and with the floor: what disturbs the machine disturbs all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.contest import Contest, contest
from bench.counters import SETTLE_S, Counts
from bench.figures import Figure
from bench.size import Size
from bench.step_figures import compared, counted, measured
from bench.step_trips import measure_trips
from bench.waiting import rest

_REST_S = 10.0


def measure(folder: Path, size: Size | None = None) -> Iterator[Figure]:
    """Yield rates and costs of steps that do nothing, and the floor's."""
    size = size or Size()
    with contest(folder, size) as forms:
        forms.warm_up()
        before = _settled_counts(forms)
        for _ in range(size.rounds):
            forms.take_round(size)
        after = _settled_counts(forms)
        rest(_REST_S)
        later = _counts(forms)
        trips = measure_trips(forms.ours, size)
    for form in forms.forms:
        yield from measured(form.name, forms.rounds[form.name])
        if form.name in before:
            at_rest = later[form.name].per_second_since(after[form.name])
            work = after[form.name].work_since(before[form.name], at_rest)
            yield from counted(form.name, forms.rounds[form.name], work, at_rest)
        yield from trips.get(form.name, ())
    yield from compared(forms.rounds, forms.floors)


def _settled_counts(forms: Contest) -> dict[str, Counts]:
    rest(SETTLE_S)
    return _counts(forms)


def _counts(forms: Contest) -> dict[str, Counts]:
    return {form.name: form.watcher.counts() for form in forms.ours}
