"""Owns the connections to Redis: one for each thread, made after the fork, and an outage that is remembered."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from redis import Connection, ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from agentflow.gate.errors import GateUnreachable
from agentflow.gate.request import Request, loading

log = structlog.get_logger("agentflow.gate")

_REMEMBERED_S = 1.0
_OWED_AT_MOST = 64


class Link:
    """Runs scripts. Where Redis does not answer, nobody of this process asks again for a second."""

    def __init__(self, redis_url: str, timeout_s: float) -> None:
        # It parses the URL, and is never asked for its pool: taking and checking costs a third of a round trip.
        self._source = ConnectionPool.from_url(
            _address(redis_url),
            protocol=2,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        self._own = threading.local()
        self._away_until = 0.0
        self._owed: deque[Request] = deque(maxlen=_OWED_AT_MOST)

    def run(self, *requests: Request, undo: Request | None = None) -> list[Any]:
        """Return what the scripts say, asked in turn in one round trip. Raises GateUnreachable.

        `undo` takes back what the requests may have got where their answer is lost: before they are asked again, or
        before what is asked next.
        """
        if time.monotonic() < self._away_until:
            raise GateUnreachable
        owed = self._take_owed()
        try:
            return self._run([*owed, *requests], undo)[-len(requests) :]
        except (RedisError, OSError) as error:
            self._owed.extend(owed if undo is None else [*owed, undo])
            self._away_until = time.monotonic() + _REMEMBERED_S
            log.warning("gate_unavailable", error=str(error))
            raise GateUnreachable(f"The gate's Redis is out of reach ({error}): see that it runs") from error

    def _take_owed(self) -> list[Request]:
        owed = []
        while self._owed:
            owed.append(self._owed.popleft())
        return owed

    def _run(self, requests: Sequence[Request], undo: Request | None) -> list[Any]:
        try:
            replies = self._ask(requests)
        except ConnectionLost:
            # The server may have been started anew since the last call.
            requests = _behind(undo, requests)
            replies = self._ask(requests)
        unknown = next((place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)), None)
        if unknown is not None:
            # What was asked after it was answered without it, and so is asked again.
            replies[unknown:] = self._load_and_ask(_behind(undo, requests[unknown:]))[unknown - len(requests) :]
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    def _load_and_ask(self, requests: Sequence[Request]) -> list[Any]:
        self._ask([loading(script) for script in {each.script for each in requests}])
        return self._ask(requests)

    def _ask(self, requests: Sequence[Request]) -> list[Any]:
        connection = self._connection()
        try:
            connection.send_packed_command((b"".join([each.packed for each in requests]),))  # type: ignore[no-untyped-call]  # redis-py has no types here
            return [_read(connection) for _ in requests]
        except BaseException:
            # An answer that comes later would be taken for the next call's.
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise

    def _connection(self) -> Connection:
        if getattr(self._own, "pid", None) != os.getpid():
            self._own.pid, self._own.connection = os.getpid(), self._source.make_connection()
        connection: Connection = self._own.connection
        return connection


def _behind(undo: Request | None, requests: Sequence[Request]) -> Sequence[Request]:
    return requests if undo is None else [undo, *requests]


def _read(connection: Connection) -> Any:
    """Return one answer, an error too: those behind it have to be read all the same."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _address(redis_url: str) -> str:
    """Return a URL as redis-py writes it: a socket's has another scheme in Celery."""
    if not redis_url.startswith("redis+socket://"):
        return redis_url
    return redis_url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
