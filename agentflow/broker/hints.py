"""Publishing hints, and looking into the queues they wait in."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

import structlog

from agentflow.broker.messages import ids_in, message_of
from agentflow.domain.hint import Hint
from agentflow.redis_link import LINK_FAILURES, RedisLink

log = structlog.get_logger("agentflow.broker")

# Whoever publishes has work to do: a broker that hangs costs it so long at most, and once in so long.
_TIMEOUT_S = 2.0
_PAUSE_S = 1.0


class BrokerHints:
    """Hints over Celery's broker: one try for all hints of a call, and after a failure none for a second.

    A message goes to the list that its queue is, without an exchange: its bindings would live in Redis too, and after
    FLUSHALL a kept connection would publish to nowhere without an error.
    """

    def __init__(self, redis_url: str) -> None:
        self._link = RedisLink(redis_url, timeout_s=_TIMEOUT_S)
        self._silent_until = 0.0

    def publish(self, hints: Sequence[Hint]) -> bool:
        """Publish hints in one trip; where it fails return False, and leave them to the sweeper."""
        if not hints:
            return True
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._link.ask_all(_pushes(hints))
        except LINK_FAILURES as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            log.warning("hints_not_published", hints=len(hints), error=type(error).__name__)
            return False
        return True

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        """Return run and step of the oldest hint in a queue, None for an empty one.

        Raise LookupError where what stands there is no hint, OSError where the broker does not answer.
        """
        try:
            text = self._link.ask("LINDEX", queue, -1)
        except LINK_FAILURES as error:
            raise OSError(f"the broker does not answer: {type(error).__name__}") from error
        return None if text is None else ids_in(text)

    def close(self) -> None:
        """Close this process's connections."""
        self._link.close()


def _pushes(hints: Sequence[Hint]) -> list[list[str | bytes]]:
    """Return one LPUSH for each queue, its messages in the order of the hints."""
    messages: dict[str, list[bytes]] = defaultdict(list)
    for hint in hints:
        messages[hint.queue].append(message_of(hint))
    return [["LPUSH", queue, *each] for queue, each in messages.items()]
