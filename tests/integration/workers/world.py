"""Owns the test's side of the outside world: what arrived there, and which calls it lets go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.workers.agents.outside import ARRIVALS, VARIABLE
from tests.integration.workers.waiting import until

Arrival = dict[str, Any]


class World:
    """A folder that tools in any process write to, and that the database knows nothing of."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.environment = {VARIABLE: str(folder)}

    def arrivals(self, tool: str | None = None, run_id: str | None = None) -> list[Arrival]:
        """Return the calls that arrived, oldest first."""
        log = self._folder / ARRIVALS
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        arrived = [json.loads(line) for line in lines]
        return [
            each
            for each in arrived
            if each["tool"] == (tool or each["tool"]) and each["run"] == (run_id or each["run"])
        ]

    def await_arrival(self, tool: str, run_id: str, *, timeout_s: float = 20.0) -> Arrival:
        """Return the newest call of a run's tool, as soon as there is one."""
        return until(lambda: self.arrivals(tool, run_id), f"a call of {tool!r} in run {run_id}", timeout_s=timeout_s)[
            -1
        ]

    def open(self, latch: str) -> None:
        """Let the calls go on that wait at a latch, now and later."""
        (self._folder / latch).touch()

    def close(self, latch: str) -> None:
        """Hold the calls again that come to a latch."""
        (self._folder / latch).unlink(missing_ok=True)
