"""Owns the connections to Redis: one for each thread, made after the fork, and an outage that is remembered."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from redis import Connection, ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from agentflow.gate.errors import GateUnreachable
from agentflow.gate.scripts import Script

log = structlog.get_logger("agentflow.gate")

_REMEMBERED_S = 1.0

Argument = str | int | float


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

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Return what the script says. Raises GateUnreachable."""
        if time.monotonic() < self._away_until:
            raise GateUnreachable
        try:
            return self._run(script, (len(keys), *keys, *arguments))
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + _REMEMBERED_S
            log.warning("gate_unavailable", error=str(error))
            raise GateUnreachable(f"The gate's Redis is out of reach ({error}): see that it runs") from error

    def _run(self, script: Script, rest: Sequence[Argument]) -> Any:
        try:
            return self._ask_twice("EVALSHA", script.digest, *rest)
        except NoScriptError:
            return self._ask_twice("EVAL", script.text, *rest)

    def _ask_twice(self, *command: Argument) -> Any:
        try:
            return self._ask(*command)
        except ConnectionLost:
            # The server may have been started anew since the last call.
            return self._ask(*command)

    def _ask(self, *command: Argument) -> Any:
        connection = self._connection()
        try:
            connection.send_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types here
            return connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            # An answer that comes later would be taken for the next call's.
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise

    def _connection(self) -> Connection:
        if getattr(self._own, "pid", None) != os.getpid():
            self._own.pid, self._own.connection = os.getpid(), self._source.make_connection()
        connection: Connection = self._own.connection
        return connection


def _address(redis_url: str) -> str:
    """Return a URL as redis-py writes it: a socket's has another scheme in Celery."""
    if not redis_url.startswith("redis+socket://"):
        return redis_url
    return redis_url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
