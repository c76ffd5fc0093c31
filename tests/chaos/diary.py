"""Owns what was broken on purpose, when and for how long: a line in faults.jsonl for each fault that is over."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.checker.evidence import Fault


class Diary:
    """Takes down faults, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._faults: list[Fault] = []

    def note(self, kind: str, target: str, began_at: float, ended_at: float | None = None) -> Fault:
        """Take down a fault that is over by now, or was over at `ended_at`."""
        fault = Fault(kind, target, began_at, time.time() if ended_at is None else ended_at)
        with self._turn, self._path.open("a", encoding="utf-8") as lines:
            self._faults.append(fault)
            lines.write(json.dumps(asdict(fault)) + "\n")
        return fault

    @property
    def faults(self) -> Sequence[Fault]:
        """Everything so far, in the order in which it was over."""
        with self._turn:
            return list(self._faults)
