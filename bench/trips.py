"""Owns the counting of round trips to Postgres: what the heads of the messages of both sides say.

A trip begins with a request of the client while none of its requests is unanswered, and ends when the server is ready
for the next: requests that are sent without waiting between are one trip. What a connection says to begin with (its
password, its settings) is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

# Query, Sync, FunctionCall: each is answered by one ReadyForQuery.
_REQUESTS = b"QSF"
_READY, _COMPLETE, _IDLE = ord("Z"), ord("C"), ord("I")
_HEAD = 5


@dataclass(slots=True)
class Trips:
    """What went through so far."""

    trips: int = 0
    statements: int = 0
    transactions: int = 0

    def since(self, before: Trips) -> Trips:
        """Return what came after another count."""
        return Trips(
            self.trips - before.trips,
            self.statements - before.statements,
            self.transactions - before.transactions,
        )


@dataclass(slots=True)
class ConnectionTrips:
    """One client's: the messages that are not whole yet, and how many of its requests are unanswered."""

    counted: Trips
    unanswered: int = 0
    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)

    def ask(self, data: bytes) -> None:
        """Read what the client sent."""
        for kind, _ in _messages(self.asked, data):
            if kind in _REQUESTS:
                self.counted.trips += self.unanswered == 0
                self.unanswered += 1

    def answer(self, data: bytes) -> None:
        """Read what the server sent."""
        for kind, body in _messages(self.answered, data):
            if kind == _COMPLETE:
                self.counted.statements += 1
            elif kind == _READY:
                # The first one of a connection ends its beginning: nobody asked.
                self.counted.transactions += bool(self.unanswered) and body[0] == _IDLE
                self.unanswered = max(0, self.unanswered - 1)


def _messages(buffer: bytearray, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each whole message's kind and body, and keep the rest for the next time."""
    buffer += data
    while len(buffer) >= _HEAD:
        end = 1 + int.from_bytes(buffer[1:_HEAD], "big")
        if len(buffer) < end:
            return
        yield buffer[0], bytes(buffer[_HEAD:end])
        del buffer[:end]
