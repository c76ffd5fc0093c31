"""Events of tasks, collected on their way to the stream: so many at once, or after so long."""

from __future__ import annotations

import threading

from agentflow.broker.events import Event, EventStream

_BATCH = 20
_WAIT_S = 1.0


class EventBatch:
    """Sends what was added once it is much, or old, or when it is told to. Made in the process that uses it.

    The one that adds sends what is much; what gets old is sent by a thread that sleeps while nothing waits.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._waits = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, *events: Event) -> None:
        """Take events of tasks."""
        with self._lock:
            self._events += events
            much = len(self._events) >= _BATCH
        if much:
            self.flush()
        elif not self._waits.is_set():
            self._see_to_them()

    def flush(self) -> None:
        """Send what waits."""
        with self._lock:
            events, self._events = self._events, []
        if events:
            self._stream.send(events, "task.multi")

    def _see_to_them(self) -> None:
        self._waits.set()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_the_old, name="agentflow-events", daemon=True)
                self._thread.start()

    def _send_the_old(self) -> None:
        while self._waits.wait():
            threading.Event().wait(_WAIT_S)
            self._waits.clear()
            self.flush()
