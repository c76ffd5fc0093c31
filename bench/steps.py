"""Measures what a step costs on the default pools, beside the floor: bare transactions on the same server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from agentflow import Client, RunHandle
from agentflow.store.reads import RunRecord
from bench.agents import STEPS, line
from bench.figures import Broken, Figure, percentile
from bench.floor import Floor, measure_floor
from bench.stack import Stack
from bench.usage import Meter, Names

_WARM_UP, _ALONE, _TOGETHER = 20, 60, 400
_PATIENCE_S = 180.0


def measure(folder: Path) -> Iterator[Figure]:
    """Yield rates and costs of steps that do nothing, and the floor's."""
    with Stack(folder) as stack:
        _finished(_submitted(stack.client, _WARM_UP))
        yield from _measure_alone(stack.client)
        # Before and after, for the machine may have other work in one of them.
        before = _measure_floor(stack)
        together = _measure_together(stack)
        yield from together
        yield from _compare(together, [before, _measure_floor(stack)])


def _measure_alone(client: Client) -> Iterator[Figure]:
    taken_ms = [_time_one_ms(client) for _ in range(_ALONE)]
    for percent in (50, 95):
        yield Figure(f"{STEPS} steps alone, submit to done, p{percent}", percentile(taken_ms, percent), "ms")


def _measure_together(stack: Stack) -> list[Figure]:
    meter = Meter(stack.processes)
    runs = _finished(_submitted(stack.client, _TOGETHER))
    used = meter.by_name()
    steps = len(runs) * STEPS
    return [
        Figure(f"steps per second, {_TOGETHER} runs at once", steps / _lasted_s(runs), "/s"),
        Figure("CPU seconds per 1,000 steps", sum(used.values()) / steps * 1000, "s"),
        *(Figure(f"  {name}", seconds / steps * 1000, "s") for name, seconds in sorted(used.items())),
    ]


def _compare(together: Sequence[Figure], floors: Sequence[Floor]) -> Iterator[Figure]:
    per_second = fmean(floor.per_second for floor in floors)
    cpu_s_per_1000 = fmean(floor.cpu_s_per_1000 for floor in floors)
    yield Figure("floor: transactions per second", per_second, "/s")
    yield Figure("floor: CPU seconds per 1,000", cpu_s_per_1000, "s")
    yield Figure("time of a step, in floor transactions", per_second / together[0].value, "x")
    yield Figure("CPU of a step, in floor transactions", together[1].value / cpu_s_per_1000, "x")


def _submitted(client: Client, count: int) -> list[RunHandle]:
    return [client.submit(line.name, {"number": number}) for number in range(count)]


def _finished(handles: Sequence[RunHandle]) -> list[RunRecord]:
    runs = [handle.wait(_PATIENCE_S) for handle in handles]
    if failed := [run for run in runs if run.status != "done"]:
        raise Broken(f"{len(failed)} runs did not end done; the first: {failed[0].error}")
    return runs


def _time_one_ms(client: Client) -> float:
    began_at = time.time()
    run = _finished(_submitted(client, 1))[0]
    assert run.finished_at is not None
    return (run.finished_at.timestamp() - began_at) * 1000


def _lasted_s(runs: Sequence[RunRecord]) -> float:
    started = min(run.started_at.timestamp() for run in runs if run.started_at)
    return max(run.finished_at.timestamp() for run in runs if run.finished_at) - started


def _measure_floor(stack: Stack) -> Floor:
    def processes() -> Names:
        server = {pid: name for pid, name in stack.processes().items() if name == "Postgres"}
        return {**server, os.getpid(): "client"}

    return measure_floor(stack.database_url, lambda: Meter(processes))
