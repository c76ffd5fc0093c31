"""Brings runs to where a victim takes over: submitted, decided and executed by production code, without a hint left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentflow.client import Client
from agentflow.domain.outcome import AttemptOutcome, Retrying
from agentflow.engine.advancing import advance_run
from agentflow.engine.deadman import NoTimer
from agentflow.engine.executor import execute_step
from agentflow.settings import settings
from agentflow.store import steps
from agentflow.testing.hints import CollectedHints
from tests.crashpoints.worker import Worker

_PAUSE_S = 0.02


class Hand:
    """One process that prepares cases. `url` is where the world is."""

    def __init__(self, worker: Worker, url: str) -> None:
        lost = CollectedHints(lossy=True)
        self.runtime = replace(worker.runtime, hints=lost, timer=NoTimer(), continue_steps=1)
        self.client = Client(settings(), hints=lost)
        self.url = url

    def submit(self, agent: str, item: str, **given: Any) -> str:
        """Submit a run about an item."""
        return self.client.submit(agent, {"url": self.url, "item": item, **given}).run_id

    def begin(self, agent: str, item: str, **given: Any) -> str:
        """Submit a run and make its first decision."""
        return self.advance(self.submit(agent, item, **given))

    def advance(self, run_id: str) -> str:
        """Make a run's next decision."""
        advance_run(self.runtime, run_id)
        return run_id

    def do(self, run_id: str, step_index: int) -> None:
        """Take a step its whole way, once it is due; again as long as it is retried."""
        ending: Any = None
        while ending is None or isinstance(ending, Retrying):
            self.wait_until_due(run_id, step_index)
            ending = execute_step(self.runtime, run_id, step_index)
            assert isinstance(ending, AttemptOutcome), ending

    def wait_until_due(self, run_id: str, step_index: int) -> None:
        """Wait for the time of a step."""

        def is_due() -> bool:
            look = self.runtime.database.glance(lambda tx: steps.look(tx, run_id, step_index))
            return look is not None and look["is_due"]

        until(is_due, f"step {step_index} of {run_id} to be due")

    def sql(self, statement: str, **values: Any) -> Any:
        """Run a statement of the case's own."""
        with self.runtime.database.transaction() as tx:
            result = tx.connection.exec_driver_sql(statement, values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []


def until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s:g} s for {what}"
        pause.wait(_PAUSE_S)
