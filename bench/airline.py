"""Measures the 200 recorded conversations of an airline, undisturbed, on the default pools."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from agentflow.engine.sweeper import DEAD_S
from agentflow.store import workers
from bench import usage
from bench.figures import Figure, Skipped
from bench.usage import Meter
from bench.waiting import until
from tests.acceptance.airline import dataset
from tests.acceptance.airline.drive import count_runs, submit_conversations, wait_for_runs
from tests.acceptance.airline.stage import Stage, set_stage

_GOAL_S = 180.0
_PATIENCE_S = 420.0
_STEPS = text("select count(*) from agentflow.agent_steps")


def measure(folder: Path) -> Iterator[Figure]:
    """Yield the time, the rate and the cost, and in how many places the result is not as recorded."""
    if not dataset.is_present():
        raise Skipped(dataset.ABSENT)
    with set_stage(folder, "transactional") as stage:
        meter = Meter(lambda: _processes(stage, folder))
        began = time.monotonic()
        submit_conversations(stage.client, dataset.conversations())
        wait_for_runs(stage.engine, timeout_s=_PATIENCE_S)
        lasted_s = time.monotonic() - began
        used = meter.by_name()
        steps = _count_steps(stage)
        yield Figure("200 conversations", lasted_s, "s", _GOAL_S)
        yield Figure("  runs", count_runs(stage.engine), "")
        yield Figure("  steps", steps, "")
        yield Figure("  differences from the recording", len(stage.differences()), "")
        yield Figure("steps per second", steps / lasted_s, "/s")
        yield Figure("CPU seconds per 1,000 steps", sum(used.values()) / steps * 1000, "s")
        yield from (Figure(f"  {name}", seconds / steps * 1000, "s") for name, seconds in sorted(used.items()))
    until(lambda: not usage.servers(folder / "services"), "end of the servers")


def _processes(stage: Stage, folder: Path) -> dict[int, str]:
    names = usage.servers(folder / "services")
    for worker in stage.client.database.atomically(lambda tx: workers.alive(tx, DEAD_S)):
        names |= usage.family(worker["pid"], f"worker {worker['pool']}")
    return names


def _count_steps(stage: Stage) -> int:
    with stage.engine.connect() as connection:
        return int(connection.execute(_STEPS).scalar_one())
