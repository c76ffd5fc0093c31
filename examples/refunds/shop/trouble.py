"""Owns the shop's bad moments: which requests it turns away though it could answer them, and until when."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is turned away, and for how long the shop wants to be left alone."""

    status: HTTPStatus
    text: str
    retry_after_s: int | None = None


class Trouble:
    """`busy_s`: orders whose refund is turned away so long from its first request on; `down`: one lookup, once."""

    def __init__(
        self,
        *,
        busy_s: Mapping[str, float] | None = None,
        down: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._busy_s = busy_s or {}
        self._down = set(down)
        self._clock = clock
        self._busy_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def with_refund(self, order_id: str) -> Refusal | None:
        """Return why a refund is turned away now; one that comes too early is turned away again."""
        if order_id not in self._busy_s:
            return None
        now = self._clock()
        with self._lock:
            left_s = self._busy_until.setdefault(order_id, now + self._busy_s[order_id]) - now
        if left_s <= 0:
            return None
        return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many refunds at once, come back later", math.ceil(left_s))

    def with_lookup(self, order_id: str) -> Refusal | None:
        """Return why a lookup is turned away now."""
        with self._lock:
            if order_id not in self._down:
                return None
            self._down.remove(order_id)
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the catalogue is being restarted")
