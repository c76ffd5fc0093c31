"""The Celery application as clients and workers alike need it to speak to the broker."""

from __future__ import annotations

from typing import Any

from celery import Celery

# Without socket timeouts, publishing to a broker that hangs blocks until it comes back.
TRANSPORT_OPTIONS: dict[str, Any] = {
    "socket_timeout": 10.0,
    "socket_connect_timeout": 3.0,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
    "max_retries": 0,
}


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
