"""Owns the way to the scripts in Redis: outages are remembered, and what a lost answer may have got is taken back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError, ResponseError

from agentflow.gate.errors import GateUnreachable
from agentflow.gate.request import Request, loading
from agentflow.redis_link import RedisLink

log = structlog.get_logger("agentflow.gate")

Undo = Callable[[], Request]

_REMEMBERED_S = 1.0
_OWED_AT_MOST = 64


class Link:
    """Runs scripts. Where Redis does not answer, nobody of this process asks again for a second."""

    def __init__(self, redis_url: str, timeout_s: float) -> None:
        self._redis = RedisLink(redis_url, timeout_s=timeout_s, decode_responses=True)
        self._away_until = 0.0
        self._owed: deque[Request] = deque(maxlen=_OWED_AT_MOST)

    def run(self, *requests: Request, undo: Undo | None = None) -> list[Any]:
        """Return what the scripts say, asked in turn in one round trip. Raises GateUnreachable.

        `undo` gives what takes back what the requests may have got where their answer is lost: before they are asked
        again, or before what is asked next.
        """
        if time.monotonic() < self._away_until:
            raise GateUnreachable
        owed = self._take_owed()
        try:
            return self._run([*owed, *requests], undo)[-len(requests) :]
        except (RedisError, OSError) as error:
            self._owed.extend(_and(undo, owed))
            self._away_until = time.monotonic() + _REMEMBERED_S
            log.warning("gate_unavailable", error=str(error))
            raise GateUnreachable(f"The gate's Redis is out of reach ({error}): see that it runs") from error

    def _take_owed(self) -> list[Request]:
        owed = []
        while self._owed:
            owed.append(self._owed.popleft())
        return owed

    def _run(self, requests: Sequence[Request], undo: Undo | None) -> list[Any]:
        try:
            replies = self._ask(requests)
        except ConnectionLost:
            # The server may have been started anew since the last call.
            requests = [*_and(undo), *requests]
            replies = self._ask(requests, fresh=True)
        unknown = next((place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)), None)
        if unknown is not None:
            # What was asked after it was answered without it, and so is asked again.
            replies[unknown:] = self._load_and_ask([*_and(undo), *requests[unknown:]])[unknown - len(requests) :]
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    def _load_and_ask(self, requests: Sequence[Request]) -> list[Any]:
        self._ask([loading(script) for script in {each.script for each in requests}])
        return self._ask(requests)

    def _ask(self, requests: Sequence[Request], *, fresh: bool = False) -> list[Any]:
        return self._redis.exchange(b"".join([each.packed for each in requests]), len(requests), fresh=fresh)


def _and(undo: Undo | None, before: Sequence[Request] = ()) -> Sequence[Request]:
    return before if undo is None else [*before, undo()]
