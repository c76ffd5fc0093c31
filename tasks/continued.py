"""Steps that a worker goes on to without a message, as Flower sees them: each a task of its own."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery.app.task import Context
from celery.utils.time import utcoffset

from agentflow.broker.batching import EventBatch
from agentflow.broker.events import Event
from agentflow.broker.messages import ids_of
from agentflow.domain.hint import Hint
from agentflow.engine.executor import Ending

from .request import clock_of
from .telling import Telling, Told, telling_of


@dataclass(slots=True)
class _Chain:
    """The tasks that follow one message: the message's own, and those that were begun after it."""

    root_id: str
    last_id: str
    hostname: str
    begun: dict[str, float] = field(default_factory=dict)


class Announcer:
    """Sends the events that a worker's main process would send of a task, from the process that works on the step."""

    def __init__(self, batch: EventBatch) -> None:
        self._batch = batch
        self._own = threading.local()
        self._clock = 0

    @contextmanager
    def following(self, request: Context) -> Iterator[None]:
        """Have what this thread begins follow a message's task; where nobody wants events, none are sent."""
        self._own.chain = self._chain_of(request)
        try:
            yield
        finally:
            self._own.chain = None
            self._batch.flush()

    def begin(self, hint: Hint) -> str:
        """Tell that a step is begun, and return the id of its task."""
        task_id = str(uuid.uuid4())
        chain = self._chain
        if chain is not None:
            self._batch.add(
                self._event(
                    chain, "task-received", task_id, name=hint.task_name, args="()", kwargs=repr(ids_of(hint)),
                    root_id=chain.root_id, parent_id=chain.last_id, retries=0, eta=None, expires=None,
                ),
                self._event(chain, "task-started", task_id),
            )  # fmt: skip
            chain.last_id = task_id
            chain.begun[task_id] = time.monotonic()
        return task_id

    def end(self, task_id: str, ending: Ending) -> None:
        """Tell how a step that was begun has ended."""
        chain = self._chain
        if chain is not None and task_id in chain.begun:
            runtime_s = time.monotonic() - chain.begun.pop(task_id)
            telling = telling_of(ending)
            self._batch.add(self._event(chain, telling.told, task_id, **_details(telling, runtime_s)))

    @property
    def _chain(self) -> _Chain | None:
        return getattr(self._own, "chain", None)

    def _chain_of(self, request: Context) -> _Chain | None:
        clock = clock_of(request)
        if clock is None:
            return None
        self._clock = max(self._clock, clock)
        return _Chain(request.root_id or request.id, request.id, request.hostname)

    def _event(self, chain: _Chain, kind: str, task_id: str, **fields: Any) -> Event:
        self._clock += 1
        return {
            "type": kind,
            "uuid": task_id,
            "hostname": chain.hostname,
            "pid": os.getpid(),
            "clock": self._clock,
            "timestamp": time.time(),
            "utcoffset": utcoffset(),
            **fields,
        }


def _details(telling: Telling, runtime_s: float) -> dict[str, Any]:
    """Return what the event of an ending holds beside the task's id."""
    if telling.told is Told.SUCCEEDED:
        return {"result": "None", "runtime": runtime_s}
    if telling.exception is None:
        return {}
    return {"exception": repr(telling.exception), "traceback": ""}
