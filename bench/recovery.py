"""Measures how long a step waits after the death of its worker until it runs again, its timeout being far away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import text

from bench.agents import HELD
from bench.figures import Broken, Figure, spread
from bench.stack import POOLS, Stack
from bench.waiting import until

_TIMES, _TIMES_ALL = 3, 3
_GOAL_S = 15.0
_STARTED_AT = text("select started_at from agentflow.attempts where run_id = :run_id and attempt = :attempt")


def measure(folder: Path) -> Iterator[Figure]:
    """Yield the times for each class of effect, and for the death of all workers at once."""
    with Stack(folder) as stack:
        for effect in HELD:
            waited_s = [_time_death(stack, effect, ["default"]) for _ in range(_TIMES)]
            yield from spread(f"{effect} step runs again", waited_s, "s", _GOAL_S)
        waited_s = [_time_death(stack, HELD[0], POOLS) for _ in range(_TIMES_ALL)]
        yield from spread("runs again, all workers killed", waited_s, "s", _GOAL_S)


def _time_death(stack: Stack, effect: str, pools: Sequence[str]) -> float:
    run = stack.client.submit(effect, {})
    until(lambda: _started_at(stack, run.run_id, 1), "first attempt")
    killed_at = stack.kill(*pools)
    until(lambda: _started_at(stack, run.run_id, 2), "second attempt", timeout_s=120)
    ended = run.wait(60)
    if ended.status != "done":
        raise Broken(f"a run whose worker was killed ended {ended.status}: {ended.error}")
    stack.wait_until_ready()
    return (_started_at(stack, run.run_id, 2) or killed_at) - killed_at


def _started_at(stack: Stack, run_id: str, attempt: int) -> float | None:
    with stack.client.database.engine.connect() as connection:
        found = connection.execute(_STARTED_AT, {"run_id": run_id, "attempt": attempt}).scalar_one_or_none()
    return None if found is None else float(found.timestamp())
