"""Answers of a faulty server that depend on how many ask at once, or on when they ask.

crowd = Crowd(most=4, takes_s=0.1)
server.script("/fetch", crowd)
...
assert crowd.highest <= 4
"""

from __future__ import annotations

import threading

from tests.integration.faulty import Answer, Arrival, Fault


class Crowd:
    """Serves so many at once, each for `takes_s`, and turns away who comes on top of them."""

    def __init__(self, *, most: int, takes_s: float) -> None:
        self._most = most
        self._takes_s = takes_s
        self._guard = threading.Lock()
        self._ends: list[float] = []
        self.highest = 0

    def __call__(self, arrival: Arrival) -> Fault:
        with self._guard:
            self._ends = [end for end in self._ends if end > arrival.at]
            self._ends.append(arrival.at + self._takes_s)
            self.highest = max(self.highest, len(self._ends))
            too_many = len(self._ends) > self._most
        return Answer(503) if too_many else Answer(delay_s=self._takes_s)


class Storm:
    """Answers everybody 429 for `lasts_s` from the first call on, each with a Retry-After of so many seconds."""

    def __init__(self, *, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self._guard = threading.Lock()
        self._over_at: float | None = None
        self.told: list[tuple[bytes, float]] = []

    def __call__(self, arrival: Arrival) -> Fault:
        with self._guard:
            if self._over_at is None:
                self._over_at = arrival.at + self._lasts_s
            if arrival.at >= self._over_at:
                return Answer()
            self.told.append((arrival.body, arrival.at + self._lasts_s))
        return Answer(429, {"Retry-After": f"{self._lasts_s:g}"})
