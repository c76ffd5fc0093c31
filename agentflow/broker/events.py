"""The stream of Celery's events, which Flower listens to: a channel of Redis, and messages as kombu writes them."""

from __future__ import annotations

import time
import uuid
from typing import Any

import structlog

from agentflow.broker.messages import envelope
from agentflow.redis_link import LINK_FAILURES, RedisLink

log = structlog.get_logger("agentflow.broker")

# Events are there to be looked at: a Redis that hangs costs whoever sends them so long at most, and once in so long.
_TIMEOUT_S = 0.25
_PAUSE_S = 1.0

Event = dict[str, Any]


class EventStream:
    """A way to whoever listens. What can't be sent is dropped, and said once per outage."""

    def __init__(self, redis_url: str, *, exchange: str = "celeryev") -> None:
        self._link = RedisLink(redis_url, timeout_s=_TIMEOUT_S)
        self._exchange = exchange
        self._away = False
        self._silent_until = 0.0

    def send(self, events: Event | list[Event], routing_key: str) -> None:
        """Send one event, or a batch of one group under a key that ends in `multi`."""
        if time.monotonic() < self._silent_until:
            return
        headers = {"hostname": (events[0] if isinstance(events, list) else events)["hostname"]}
        message = envelope(events, headers, exchange=self._exchange, routing_key=routing_key, tag=str(uuid.uuid4()))
        try:
            self._link.ask("PUBLISH", f"/{self._link.database}.{self._exchange}/{routing_key}", message)
            self._away = False
        except LINK_FAILURES as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            if not self._away:
                log.warning("events_not_sent", error=type(error).__name__)
            self._away = True

    def close(self) -> None:
        """Close this process's connections."""
        self._link.close()
