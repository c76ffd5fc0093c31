"""An end to an exchange that takes too long: a server that sends a byte now and then would never be timed out else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")


class Cutoff:
    """The time of one exchange. `watch` is what the client calls as it goes; the connection ends with the time."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._timer: threading.Timer | None = None

    @property
    def left_s(self) -> float:
        """Seconds that are left, a moment at least."""
        return max(self._ends_at - time.monotonic(), 0.001)

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._ends_at

    def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """Take over each connection that the client reports."""
        if event in _CONNECTED:
            self.stop()
            self._timer = threading.Timer(self.left_s, _end, [details["return_value"].get_extra_info("socket")])
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """Leave the connection alone."""
        if self._timer is not None:
            self._timer.cancel()


def _end(connection: socket.socket) -> None:
    # It may have ended by itself.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
