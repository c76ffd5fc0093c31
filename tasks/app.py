"""The Celery application: `celery -A tasks.app worker`, or better `agentflow worker POOL`."""

from __future__ import annotations

from contextlib import ExitStack

from celery import Celery

from agentflow import layout
from agentflow.broker.dispatcher import BatchedEvents
from agentflow.broker.transport import read_without_books
from agentflow.services import connected
from agentflow.settings import settings

from . import reporting  # noqa: F401 - it listens for the start of Celery's processes

read_without_books()
_open = ExitStack()
services = _open.enter_context(connected(settings()))

app = Celery("agentflow", broker=services.redis_url, events=BatchedEvents)
app.config_from_object(layout.module_name("config.celery"))
app.conf.imports = [
    layout.module_name(f"tasks.{name}") for name in ("steps", "coordinator", "outbox", "maintenance", "lifecycle")
]
app.conf.beat_schedule = {
    "forget-workers": {"task": "maintenance.forget_workers", "schedule": 3600.0, "options": {"queue": "coordinator"}},
    "make-partitions": {
        "task": "maintenance.make_partitions",
        "schedule": 86_400.0,
        "options": {"queue": "coordinator"},
    },
}
