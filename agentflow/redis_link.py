"""Owns lean connections to a Redis: kept, made after the fork, no two threads on one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

LINK_FAILURES = (RedisError, OSError)

Argument = str | bytes | int | float
Command = Sequence[Argument]


class RedisLink:
    """A way to one Redis, for all threads of a process and for the processes that it forks.

    `timeout_s` bounds connecting, and each wait for an answer. There are as many connections as threads that ask at the
    same moment; nobody waits for another's.
    """

    def __init__(self, redis_url: str, *, timeout_s: float, decode_responses: bool = False) -> None:
        # It parses the URL, and is never asked for a connection: taking and checking costs a third of a round trip, and
        # after a hundred that it has made it makes no more, since it is never told of those that broke.
        self._source = ConnectionPool.from_url(
            _address(redis_url),
            protocol=2,
            decode_responses=decode_responses,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        self._packer = self._connection()
        self._idle: deque[ConnectionInterface] = deque()
        self._pid = os.getpid()

    @property
    def database(self) -> int:
        """The number of the database."""
        return int(self._source.connection_kwargs.get("db") or 0)

    def ask(self, *command: Argument) -> Any:
        """Return the answer to one command."""
        return self.ask_all([command])[0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go and return their answers; raise the first that is an error, once all are here."""
        packed = b"".join(self._packer.pack_commands(commands))  # type: ignore[no-untyped-call]  # redis-py has no types here
        try:
            answers = self.exchange(packed, len(commands))
        except ConnectionLost:
            # The server may have been started anew since the last call. What it had taken is done twice, then.
            answers = self.exchange(packed, len(commands), fresh=True)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    def exchange(self, packed: bytes, commands: int, *, fresh: bool = False) -> list[Any]:
        """Send so many packed commands and return an answer for each, errors among them.

        Raise redis-py's ConnectionError where the connection is lost. A kept one may have been dead for long; one that
        is `fresh` is not.
        """
        kept = None if fresh else self._take()
        connection = self._connection() if kept is None else kept
        try:
            connection.send_packed_command((packed,))  # type: ignore[no-untyped-call]
            answers = [_answer(connection) for _ in range(commands)]
        except BaseException:
            # An answer that comes later would be taken for the next call's.
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        self._idle.append(connection)
        return answers

    def close(self) -> None:
        """Close this process's connections that nobody uses just now."""
        while (connection := self._take()) is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here

    def _connection(self) -> ConnectionInterface:
        """Return a connection that is opened by its first command."""
        connection: ConnectionInterface = self._source.connection_class(**self._source.connection_kwargs)
        return connection

    def _take(self) -> ConnectionInterface | None:
        if self._pid != os.getpid():
            # What came over by a fork is the parent's: it is dropped, not closed.
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _answer(connection: ConnectionInterface) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _address(redis_url: str) -> str:
    """Return a URL as redis-py writes it: a socket's has another scheme in Celery."""
    if not redis_url.startswith("redis+socket://"):
        return redis_url
    return redis_url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
