"""Measures how long a step waits after the death of its worker until it runs again, its timeout being far away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import text

from bench.agents import HELD
from bench.figures import Broken, Figure, spread
from bench.stack import POOLS, Stack
from bench.waiting import until

_TIMES, _TIMES_ALL = 3, 2
_GOAL_S = 15.0
_STARTED_AT = text("select started_at from agentflow.attempts where run_id = :run_id and attempt = :attempt")


def measure(folder: Path) -> Iterator[Figure]:
    """Yield the times for each class of effect, and for the death of all workers at once."""
    with Stack(folder) as stack:
        # One death for all classes: each is held in a process of its own of the same worker.
        deaths = [_time_death(stack, HELD, ["default"]) for _ in range(_TIMES)]
        for place, effect in enumerate(HELD):
            yield from spread(f"{effect} step runs again", [waited_s[place] for waited_s in deaths], "s", _GOAL_S)
        waited_s = [_time_death(stack, HELD[:1], POOLS)[0] for _ in range(_TIMES_ALL)]
        yield from spread("runs again, all workers killed", waited_s, "s", _GOAL_S)


def _time_death(stack: Stack, effects: Sequence[str], pools: Sequence[str]) -> list[float]:
    held = [stack.client.submit(effect, {}) for effect in effects]
    until(lambda: all(_started_at(stack, run.run_id, 1) for run in held), "first attempts")
    killed_at = stack.kill(*pools)
    until(lambda: all(_started_at(stack, run.run_id, 2) for run in held), "second attempts", timeout_s=120)
    for run in held:
        ended = run.wait(60)
        if ended.status != "done":
            raise Broken(f"a run whose worker was killed ended {ended.status}: {ended.error}")
    stack.wait_until_ready()
    return [(_started_at(stack, run.run_id, 2) or killed_at) - killed_at for run in held]


def _started_at(stack: Stack, run_id: str, attempt: int) -> float | None:
    with stack.client.database.engine.connect() as connection:
        found = connection.execute(_STARTED_AT, {"run_id": run_id, "attempt": attempt}).scalar_one_or_none()
    return None if found is None else float(found.timestamp())
