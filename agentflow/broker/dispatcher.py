"""What a worker's main process tells of its tasks, in batches: Celery sends a message at each turn of its loop."""

from __future__ import annotations

import time
from typing import Any

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from kombu.asynchronous import get_event_loop

from agentflow.broker.events import EventStream

# An event may wait so long for others, and so many are sent at once.
_WAIT_S = 0.2
_BATCH = 100


class BatchingDispatcher(EventDispatcher):
    """Sends events of tasks late and together, those of workers at once, all over a connection of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "buffer_limit": _BATCH})
        self._stream = EventStream(self.app.conf.broker_url, exchange=self.exchange.name)
        self._sent_at = 0.0
        self._timer: Any = None

    def flush(self, errors: bool = True, groups: bool = True) -> None:  # noqa: FBT001, FBT002 - Celery's signature
        """Send what waits if it is much, or if the last batch is long ago; else see that it is sent in time."""
        wait_s = self._sent_at + _WAIT_S - time.monotonic()
        loop = get_event_loop()
        if loop is None or wait_s <= 0 or any(len(each) >= _BATCH for each in self._group_buffer.values()):
            self._sent_at = time.monotonic()
            super().flush(errors, groups)
        elif self._timer is None:
            self._timer = loop.call_later(wait_s, self._flush_in_time)

    def close(self) -> None:
        """Send what waits, and close the connection."""
        super().flush()
        super().close()
        self._stream.close()

    def _flush_in_time(self) -> None:
        self._timer = None
        self.flush()

    def _publish(self, event: Any, producer: Any, routing_key: str, *_: Any, **__: Any) -> None:
        # A dispatcher that is disabled has no producer.
        if producer is not None:
            self._stream.send(event, routing_key)


class BatchedEvents(Events):
    """Celery's events, with this dispatcher."""

    dispatcher_cls = f"{__name__}:{BatchingDispatcher.__name__}"
