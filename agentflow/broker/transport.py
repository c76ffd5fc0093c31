"""Kombu's way to Redis without acknowledgements: a message is a hint, gone once a worker has read it.

What a worker loses with a message is found in Postgres by the sweeper. Kombu's own books of what is not acknowledged
yet cost a message four commands, and, where the connection breaks while one is open, end the worker (kombu 5.7 puts
the message back through a transport that it has closed just before).
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class NoBooks(redis.QoS):
    """Keeps no account of what was delivered."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """Forget a message that was delivered."""

    def ack(self, delivery_tag: str) -> None:
        """Do nothing: it is gone already."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Do nothing: who rejects a hint leaves its step to the sweeper."""

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing: nothing is kept that could be restored."""


class HintChannel(redis.Channel):
    """A channel whose messages need no acknowledgement."""

    QoS = NoBooks
    # One list per queue: a message waits for its turn, and each priority would be one more list to ask for.
    priority_steps = [0]  # noqa: RUF012 - declared so by kombu


class HintTransport(redis.Transport):
    """What the workers read their queues through."""

    Channel = HintChannel


def read_without_books() -> None:
    """Have this process's connections to Redis use the transport. By its name, a URL of a socket could not."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{HintTransport.__name__}"
