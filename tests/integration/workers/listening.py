"""Owns listening to Celery's events the way Flower does, on a thread of its own."""

from __future__ import annotations

import threading
from collections import defaultdict
from types import TracebackType
from typing import Any, Self

from celery import Celery

from tests.integration.workers.waiting import until

Event = dict[str, Any]


class Listener:
    """Hears all events of the workers from `__enter__` on."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._heard: list[Event] = []
        self._connection = app.connection_for_read()
        self._receiver = app.events.Receiver(self._connection, handlers={"*": self._heard.append})
        self._thread = threading.Thread(target=self._receiver.capture, name="event-listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        # On being asked, every worker sends a heartbeat: after it nothing is missed.
        until(lambda: self._heard, "the first event")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._receiver.should_stop = True
        self._thread.join(timeout=10)
        self._connection.release()

    def of_tasks(self) -> list[Event]:
        """Return the events about tasks."""
        return [event for event in list(self._heard) if event["type"].startswith("task-")]

    def by_task(self, run_id: str) -> dict[tuple[str, str], list[Event]]:
        """Return a run's events by task name and id, each in the order heard."""
        received = [event for event in self.of_tasks() if run_id in event.get("kwargs", "")]
        names = {event["uuid"]: event["name"] for event in received}
        heard: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in self.of_tasks():
            if event["uuid"] in names:
                heard[names[event["uuid"]], event["uuid"]].append(event)
        return heard

    def await_ending(self, run_id: str, task_name: str, kind: str) -> Event:
        """Wait until a task of a run has ended in a kind of event, and return the event."""
        return until(lambda: self._heard_of(run_id, task_name, kind), f"{kind} of {task_name!r}")[0]

    def _heard_of(self, run_id: str, task_name: str, kind: str) -> list[Event]:
        tasks = self.by_task(run_id).items()
        return [event for (name, _), events in tasks if name == task_name for event in events if event["type"] == kind]
