"""How a step's message is handled in the worker's main process."""

from __future__ import annotations

from typing import Any

from celery.exceptions import Ignore
from celery.worker.request import Request


class StepRequest(Request):
    """A request that tells Flower of ignored steps too: without an event a duplicate would look started for ever."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Send the event that Celery leaves out, then go its way."""
        if isinstance(exc_info.exception, Ignore):
            self.send_event("task-ignored")
        return super().on_failure(exc_info, send_failed_event, return_ok)
