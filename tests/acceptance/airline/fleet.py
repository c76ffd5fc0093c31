"""Owns the workers of a test: real processes of several pools, one of which is killed now and then."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, text

from tests.acceptance.airline.processes import Process, end_group, start, stop
from tests.acceptance.airline.waiting import wait_until

POOLS = ("default", "models", "quarantine")
COMMAND = (str(Path(sys.executable).with_name("agentflow")), "worker")
READY_S = 60.0
LIVE_POOLS = text(
    "select distinct pool from agentflow.workers where stopped_at is null and agents::text like '%airline%'"
)


class Fleet:
    """One worker per pool. `killed` counts the workers that were killed."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = environment
        self._logs = logs
        self._running: dict[str, Process] = {}
        self._fallen: list[Process] = []
        self.killed = 0

    def __enter__(self) -> Self:
        for pool in POOLS:
            self._start(pool)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            stop(process)
        for process in self._fallen:
            end_group(process)

    def wait_until_ready(self, engine: Engine) -> None:
        """Return once every pool has registered the airline's agent."""
        wait_until(
            lambda: set(POOLS) <= _live_pools(engine),
            timeout_s=READY_S,
            otherwise=lambda: f"of the pools {POOLS} there are {_live_pools(engine)}; see the logs in {self._logs}",
        )

    def kill(self, pool: str) -> None:
        """Kill a pool's worker with SIGKILL, its children left to themselves, and start another in its place."""
        fallen = self._running[pool]
        fallen.kill()
        # Reaped at the end only: until then its number stands for its group, in which its children may live on.
        self._fallen.append(fallen)
        self.killed += 1
        self._start(pool)

    @contextmanager
    def under_fire(self, *, every_s: float) -> Iterator[None]:
        """Kill one worker after the other, `every_s` seconds apart, while the block runs."""
        over = threading.Event()
        killer = threading.Thread(target=self._kill_until, args=(over, every_s), daemon=True)
        killer.start()
        try:
            yield
        finally:
            over.set()
            killer.join()

    def _kill_until(self, over: threading.Event, every_s: float) -> None:
        for pool in cycle(POOLS):
            if over.wait(every_s):
                return
            self.kill(pool)

    def _start(self, pool: str) -> None:
        self._running[pool] = start([*COMMAND, pool], self._environment, self._logs / f"{pool}.log")


def _live_pools(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(LIVE_POOLS).scalars())
