"""Owns how rounds of the steps become figures: medians by form, and ratios between the forms and to the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from bench.agents import STEPS
from bench.counters import Counts
from bench.figures import Figure, percentile
from bench.floor import Floor
from bench.forms import CONTINUED, RAW_CELERY, THROUGH_BROKER
from bench.rounds import Round

RATE, CPU = "steps per second", "CPU seconds per 1,000 steps"

_ALONE_BELOW_MS = {CONTINUED: 8.0, THROUGH_BROKER: 15.0}
_TRANSACTIONS_BELOW = {CONTINUED: 1.4, THROUGH_BROKER: 2.4}
_OF_CELERY_ABOVE = {THROUGH_BROKER: 1.0}
_RARELY = 0.05


def measured(form: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    """Yield a form's rate, times and costs."""
    yield Figure(RATE, _median(rounds, _rate), "/s", form=form)
    submitting = _median(rounds, lambda each: each.burst.submitting_s / each.burst.lasted_s)
    yield Figure("submitting, of the time of a burst", submitting * 100, "%", form=form)
    alone_ms = [each for round_ in rounds for each in round_.alone_ms]
    yield Figure(f"{STEPS} steps alone, p50", percentile(alone_ms, 50), "ms", _ALONE_BELOW_MS.get(form), form=form)
    yield Figure(f"{STEPS} steps alone, p95", percentile(alone_ms, 95), "ms", form=form)
    yield from _cpu(form, rounds)
    if any(each.wal_bytes for each in rounds):
        yield Figure("WAL per step", _median(rounds, lambda each: each.wal_bytes / each.burst.steps), "B", form=form)
    yield from _broker_commands(form, rounds)


def counted(form: str, rounds: Sequence[Round], work: Counts, at_rest: Counts) -> Iterator[Figure]:
    """Yield what Postgres counted for the work, single runs included, and at rest."""
    steps = sum(each.all_steps for each in rounds)
    below = _TRANSACTIONS_BELOW.get(form)
    yield Figure("transactions per step", work.transactions / steps, "", below, form=form)
    yield Figure("fsyncs per step", work.fsyncs / steps, "", form=form)
    yield Figure("transactions at rest", at_rest.transactions, "/s", form=form)


def compared(taken: Mapping[str, Sequence[Round]], floors: Sequence[Floor]) -> Iterator[Figure]:
    """Yield the floor, and what the forms are in terms of it and of each other."""
    rate = {form: _median(rounds, _rate) for form, rounds in taken.items()}
    cpu = {form: _median(rounds, _cpu_s) for form, rounds in taken.items()}
    floor_rate, floor_cpu = median(each.per_second for each in floors), median(each.cpu_s_per_1000 for each in floors)
    yield Figure("floor: transactions per second", floor_rate, "/s")
    yield Figure("floor: CPU seconds per 1,000", floor_cpu, "s")
    yield Figure("continued of through the broker: steps per second", rate[CONTINUED] / rate[THROUGH_BROKER], "x")
    yield Figure("continued of through the broker: CPU", cpu[CONTINUED] / cpu[THROUGH_BROKER], "x")
    for form in taken:
        yield Figure("time of a step, in floor transactions", floor_rate / rate[form], "x", form=form)
        yield Figure("CPU of a step, in floor transactions", cpu[form] / floor_cpu, "x", form=form)
        of_celery, above = rate[form] / rate[RAW_CELERY], _OF_CELERY_ABOVE.get(form)
        yield Figure(f"steps per second, of the {RAW_CELERY}'s", of_celery, "x", above=above, form=form)


def _cpu(form: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    yield Figure(CPU, _median(rounds, _cpu_s), "s", form=form)
    for name in sorted({name for each in rounds for name in each.used_s}):
        used = median(each.used_s.get(name, 0.0) / each.burst.steps * 1000 for each in rounds)
        yield Figure(f"  {name}", used, "s", form=form)


def _broker_commands(form: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    """Yield them by command, those inside of scripts included; those that hardly ever came are in the sum alone."""
    steps = sum(each.burst.steps for each in rounds)
    names = {name for each in rounds for name in each.commands}
    per_step = {name: sum(each.commands.get(name, 0) for each in rounds) / steps for name in names}
    yield Figure("broker commands per step", sum(per_step.values()), "", form=form)
    for name, times in sorted(per_step.items(), key=lambda item: (-round(item[1], 1), item[0])):
        if times >= _RARELY:
            yield Figure(f"  {name}", times, "", form=form)


def _median(rounds: Sequence[Round], key: Callable[[Round], float]) -> float:
    return median(map(key, rounds))


def _rate(round_: Round) -> float:
    return round_.burst.steps / round_.burst.lasted_s


def _cpu_s(round_: Round) -> float:
    return round_.cpu_s_per_1000
