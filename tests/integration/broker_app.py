"""Owns a Celery application that reads and writes the broker as any other would."""

from __future__ import annotations

from celery import Celery

from agentflow.broker.options import TRANSPORT_OPTIONS


def broker_app(redis_url: str) -> Celery:
    """Return a Celery application that can publish to the broker and serves no tasks."""
    app = Celery("agentflow", broker=redis_url, set_as_current=False)
    app.conf.update(
        broker_transport_options=TRANSPORT_OPTIONS,
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=False,
        result_backend=None,
    )
    return app
