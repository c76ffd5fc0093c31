"""The relay tasks: one Celery task per kind of message, all the same few lines."""

from __future__ import annotations

from celery import Task

from agentflow.domain.hint import relay_hint
from agentflow.engine.relaying import relay_kind, turn_limit_s

from .app import app
from .process import process

# The pool's own limit is behind the dead man's timer: for a process whose timer was never armed.
_BEHIND_THE_TIMER_S = 5.0


class RelayTask(Task):
    """A relay's turn. What became of each message stands in the outbox."""

    abstract = True
    ignore_result = True
    kind = ""

    def run(self) -> None:
        """Deliver what is due of the kind."""
        relay_kind(process.runtime, self.kind)


def _register() -> None:
    for kind in process.deliveries.values():
        attributes = {
            "name": relay_hint(kind.name).task_name,
            "kind": kind.name,
            "time_limit": turn_limit_s(kind) + _BEHIND_THE_TIMER_S,
            "__module__": __name__,
        }
        app.register_task(type("RelayTask", (RelayTask,), attributes)())


_register()
