"""Owns what goes wrong with messages: one thread sends each hint again, one steals them from their queues."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import redis

from agentflow.domain.hint import Hint, advance_hint
from tests.integration.workers.stack import Stack

_PAUSE_S = 0.01
_STEPS = "select run_id::text, step_index, task_name, queue from agentflow.agent_steps"
_RUNS = "select run_id::text, queue from agentflow.agent_runs"


class Disturbance(ABC):
    """Disturbs on a thread of its own while the `with` lasts."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._disturb, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    @abstractmethod
    def disturb_once(self) -> None:
        """Do the harm that can be done now."""

    def _disturb(self) -> None:
        while not self._over.wait(_PAUSE_S):
            self.disturb_once()


class Doubler(Disturbance):
    """Publishes a second hint for every run and step, in no order: early, late, out of order."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack = stack
        self._known = set(self._hints())
        self.doubled = 0

    def disturb_once(self) -> None:
        """Send again what was not sent again yet."""
        fresh = [hint for hint in self._hints() if hint not in self._known]
        random.shuffle(fresh)
        if self._stack.hints.publish(fresh):
            self._known.update(fresh)
            self.doubled += len(fresh)

    def _hints(self) -> list[Hint]:
        runs = [advance_hint(row["run_id"], row["queue"]) for row in self._stack.truth.rows(_RUNS)]
        steps = [_hint_of(row) for row in self._stack.truth.rows(_STEPS)]
        return runs + steps


class Thief(Disturbance):
    """Takes messages out of the queues before a worker does, until it has enough."""

    def __init__(self, redis_url: str, queues: list[str], *, most: int) -> None:
        super().__init__()
        self._redis = redis.Redis.from_url(redis_url)
        self._queues = queues
        self._most = most
        self.stolen = 0

    def disturb_once(self) -> None:
        """Steal one message of each queue."""
        for queue in self._queues:
            if self.stolen < self._most and self._redis.rpop(queue) is not None:
                self.stolen += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._redis.close()


def _hint_of(row: Any) -> Hint:
    return Hint(row["task_name"], row["queue"], row["run_id"], row["step_index"])
