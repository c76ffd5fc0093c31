"""Measures the time from `agentflow dev` to the first finished run, cold and warm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.figures import Broken, Figure
from bench.project import AGENT, QUESTION, developing, make_project

_TIMES = {"cold": 2, "warm": 1}
_GOAL_S = 15.0


def measure(folder: Path) -> Iterator[Figure]:
    """Yield the slowest of a few starts of each kind."""
    projects = [make_project(folder / str(number)) for number in range(max(_TIMES.values()))]
    for name, goal in (("cold", _GOAL_S), ("warm", None)):
        starts = [_start(project) for project in projects[: _TIMES[name]]]
        yield Figure(f"{name}: ready, slowest of {len(starts)}", max(ready for ready, _ in starts), "s")
        yield Figure(f"{name}: first run done, slowest of {len(starts)}", max(done for _, done in starts), "s", goal)


def _start(project: Path) -> tuple[float, float]:
    with developing(project) as dev:
        run = dev.client.submit(AGENT, QUESTION).wait(60)
        if run.status != "done" or run.finished_at is None:
            raise Broken(f"the first run ended {run.status}: {run.error}")
        return dev.ready_after_s, run.finished_at.timestamp() - dev.began_at
