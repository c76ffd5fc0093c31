"""Publishing hints, and looking into the queues they wait in."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.messaging import Producer
from redis.exceptions import RedisError

from agentflow.broker.celery_app import TRANSPORT_OPTIONS
from agentflow.domain.hint import Hint

log = structlog.get_logger("agentflow.broker")

_FAILURES = (OperationalError, RedisError, OSError)
# Whoever publishes has work to do: a broker that hangs costs it so long at most, and once in so long.
_TIMEOUT_S = 2.0
_PAUSE_S = 1.0


class BrokerHints:
    """Hints over Celery's broker: one connection per process, one try per hint, and after a failure none for a second.

    Messages go to the default exchange with the queue's name as routing key: a named exchange's bindings live in
    Redis, and after FLUSHALL a kept producer would publish to nowhere without an error.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._connection: Any = None
        self._producer: Any = None
        self._pid = 0
        self._silent_until = 0.0

    def publish(self, hints: Sequence[Hint]) -> bool:
        """Publish hints; return False at the first that does not go through, and leave the rest to the sweeper."""
        if not hints:
            return True
        with self._lock:
            if time.monotonic() < self._silent_until:
                return False
            try:
                for hint in hints:
                    self._send(hint)
            except _FAILURES as error:
                log.warning("hints_not_published", hints=len(hints), error=type(error).__name__)
                self._silent_until = time.monotonic() + _PAUSE_S
                self._drop()
                return False
        return True

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        """Return run and step of the oldest hint in a queue, None for an empty one.

        Raise LookupError where what stands there is no hint, OSError where the broker does not answer.
        """
        with self._lock:
            try:
                text = self._open().default_channel.client.lindex(queue, -1)
            except _FAILURES as error:
                self._drop()
                raise OSError(f"the broker does not answer: {type(error).__name__}") from error
        return None if text is None else _ids_of(text)

    def close(self) -> None:
        """Close this process's connection."""
        with self._lock:
            self._drop()

    def _send(self, hint: Hint) -> None:
        ids = {"run_id": hint.run_id, "step_index": hint.step_index}
        kwargs = {name: value for name, value in ids.items() if value is not None}
        message = self._app.amqp.as_task_v2(str(uuid.uuid4()), hint.task_name, (), kwargs, ignore_result=True)
        connection = self._open()
        if self._producer is None:
            self._producer = Producer(connection.default_channel)
        self._producer.publish(
            message.body,
            exchange="",
            routing_key=hint.queue,
            headers=message.headers,
            serializer="json",
            retry=False,
            **message.properties,
        )

    def _open(self) -> Any:
        if self._connection is None or self._pid != os.getpid():
            # What came over by a fork is the parent's: it is dropped, not closed.
            self._producer = None
            self._connection, self._pid = self._connect(), os.getpid()
        return self._connection

    def _connect(self) -> Any:
        url = self._app.conf.broker_url
        options = {**TRANSPORT_OPTIONS, "socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        return Connection(url, transport_options=options, connect_timeout=_TIMEOUT_S)

    def _drop(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None and self._pid == os.getpid():
            try:
                connection.release()
            except _FAILURES as error:
                log.debug("connection_not_released", error=type(error).__name__)


def _ids_of(text: bytes | str) -> tuple[str, int | None]:
    try:
        body = json.loads(base64.b64decode(json.loads(text)["body"]))
        kwargs = body[1]
        step_index = kwargs.get("step_index")
        return str(uuid.UUID(kwargs["run_id"])), None if step_index is None else int(step_index)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise LookupError(f"a message that is no hint stands in the queue: {error}") from error
