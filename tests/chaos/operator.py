"""Owns the thread on which the people work, and what they got done."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from agentflow import Client, InterventionRefused
from agentflow.domain.errors import DatabaseUnavailable
from tests.chaos.people import Desk, Doubters, Fickle

_POLL_S = 0.4
AWAY = "database away"


class Operator:
    """People at work. `acts` counts what they did; what they decide is drawn from the seed.

    `left` are the doubts, as run/step/attempt, and the messages, by their id, that they leave to others for ever.
    """

    def __init__(self, client: Client, world: Path, seed: int) -> None:
        draw = random.Random(f"{seed}/people")
        self._doubters = Doubters(client, world, draw)
        self._people = (Desk(client, draw), self._doubters, Fickle(client, draw))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="people", daemon=True)
        self._failed: BaseException | None = None
        self.acts: Counter[str] = Counter()

    @property
    def left(self) -> set[str]:
        """The doubts that nobody ends."""
        return self._doubters.left

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float = 60.0) -> None:
        """End the work; raise what went wrong in it."""
        self._over.set()
        self._thread.join(timeout_s)
        if self._failed is not None:
            raise self._failed
        if self._thread.is_alive():
            raise TimeoutError("the people are still at work")

    def _work(self) -> None:
        try:
            while not self._over.wait(_POLL_S):
                self._look_round()
        except BaseException as error:  # noqa: BLE001 - raised where the driver waits for the end
            self._failed = error

    def _look_round(self) -> None:
        for each in self._people:
            try:
                for what, deed in each.deeds():
                    self._act(what, deed)
            except (DatabaseUnavailable, DBAPIError):
                # Whatever was under way is still to be seen at the next look, or was done.
                self.acts[AWAY] += 1

    def _act(self, what: str, deed: Callable[[], object]) -> None:
        try:
            deed()
        except InterventionRefused:
            # Its time was over, or it was done at the last try, of which nobody heard.
            self.acts[f"{what}, refused"] += 1
        else:
            self.acts[what] += 1
