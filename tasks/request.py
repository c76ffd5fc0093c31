"""How a step's message is handled in the worker's main process."""

from __future__ import annotations

from typing import Any

from celery.app.task import Context
from celery.exceptions import Ignore
from celery.worker.request import Request

_CLOCK = "agentflow_clock"


class StepRequest(Request):
    """A request that tells Flower of ignored steps too: without an event a duplicate would look started for ever.

    To the process that works on the step it says whether somebody wants events, and at what time of Celery's clock.
    """

    def __init__(self, message: Any, *args: Any, eventer: Any = None, **options: Any) -> None:
        super().__init__(message, *args, eventer=eventer, **options)
        if eventer and eventer.enabled and (not eventer.groups or "task" in eventer.groups) and self.task.send_events:
            self.request_dict[_CLOCK] = eventer.clock.value

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Send the event that Celery leaves out, then go its way."""
        if isinstance(exc_info.exception, Ignore):
            self.send_event("task-ignored")
        return super().on_failure(exc_info, send_failed_event, return_ok)


def clock_of(request: Context) -> int | None:
    """Return Celery's clock as a message was taken, None where nobody wants events of its task."""
    clock: int | None = request.get(_CLOCK)
    return clock
