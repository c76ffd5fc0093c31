"""One worker with its own database, Redis and world, on which groups of cases are played one after the other.

This process is the worker's main process; it never executes a step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from agentflow.gate import scripts
from agentflow.store.database import probe_engine
from agentflow.store.tables import metadata
from tests.crashpoints.children import fork
from tests.crashpoints.hand import Hand
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.takeover import TakeOver
from tests.crashpoints.victims import Case, Played, points_of, strike
from tests.crashpoints.worker import Worker, enter_environment
from tests.world.process import World

_LEDGER = "create table if not exists public.ledger (key text, run_id text, step_index int)"


class Stage:
    """A worker in its main process. Made in a process that nothing else is done in."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder, self.database_url, self.redis_url = folder, database_url, redis_url
        folder.mkdir(parents=True, exist_ok=True)
        self.world = World(folder / "world", seed=1)
        self.world.__enter__()
        enter_environment(database_url, redis_url, self.world)
        self.worker = Worker()
        self.engine = probe_engine(database_url)
        self._redis = redis.Redis.from_url(redis_url)
        self._take_over = TakeOver(self.worker, self.engine, self._redis, folder)
        self._groups = 0
        with self.engine.begin() as connection:
            connection.execute(text(_LEDGER))
        for script in vars(scripts).values():
            if isinstance(script, scripts.Script):
                self._redis.script_load(script.text)

    def close(self) -> None:
        """End the world."""
        self.world.__exit__(None, None, None)

    def points(self, scenario: str) -> list[str]:
        """Return every point of a scenario."""
        self._begin()
        [prepared] = self._prepare([scenario], [f"{scenario}.{self._groups}"])
        return points_of(self.worker, scenario, prepared, folder=self.folder)

    def play(self, cases: Sequence[Case]) -> list[Played]:
        """Strike a victim for each case, have others take over, and return what became of them."""
        began_at = time.time()
        self._begin()
        items = [f"{case.scenario}.{case.point}.{case.how}.{self._groups}" for case in cases]
        prepared = self._prepare([case.scenario for case in cases], items)
        played = [
            strike(self.worker, *each, folder=self.folder, began_at=began_at)
            for each in zip(cases, items, prepared, strict=True)
        ]
        self._take_over.finish(played)
        return played

    def _begin(self) -> None:
        """Empty the database and Redis, and tell them of this worker."""
        self._groups += 1
        tables = ", ".join(f'agentflow."{name}"' for name in metadata.tables)
        with self.engine.begin() as connection:
            connection.execute(text(f"truncate {tables}, public.ledger"))
        self._redis.flushdb()
        self.worker.register()
        self.worker.beat()

    def _prepare(self, scenarios: Sequence[str], items: Sequence[str]) -> list[Any]:
        """Bring runs to where victims take over, in a process of its own: nothing is left open in this one."""

        def prepare() -> list[Any]:
            self.worker.become_child()
            hand = Hand(self.worker, self.world.url)
            return [SCENARIOS[name].prepare(hand, item) for name, item in zip(scenarios, items, strict=True)]

        child = fork(prepare, self.folder / "prepare.json")
        child.wait("ended", timeout_s=120)
        prepared = child.answer()
        assert prepared is not None, child.output()
        return list(prepared)
