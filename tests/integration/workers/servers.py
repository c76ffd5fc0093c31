"""Owns the real servers of these tests, embedded Postgres and Valkey, and how they are made to fail."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.exceptions import RedisError

from agentflow.local import RunningServer, Services, attach, status
from tests.integration.workers.waiting import until


class Servers:
    """One Postgres and one Valkey in a folder of their own, for as long as the `with` lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[Services] = []

    def __enter__(self) -> Self:
        self._held.append(attach(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for services in self._held:
            services.close()

    @property
    def database_url(self) -> str:
        """The URL of the server's own database, on which others may be created."""
        return self._held[0].database_url

    @property
    def redis_url(self) -> str:
        """The broker's URL, the same before and after each of its deaths."""
        return self._held[0].redis_url

    def flush_redis(self) -> None:
        """Empty Redis: queues, bindings, all."""
        with redis.Redis.from_url(self.redis_url) as connection:
            connection.flushall()

    def crash_redis(self) -> None:
        """Kill Valkey; its supervisor starts it again on the same port."""
        os.kill(self._valkey().server_pid, signal.SIGKILL)

    def take_redis_down(self) -> None:
        """Kill Valkey and its supervisor, so that it stays away."""
        running = self._valkey()
        os.kill(running.supervisor_pid, signal.SIGKILL)
        until(lambda: not self.redis_answers(), "the end of Valkey")

    def bring_redis_back(self) -> None:
        """Start Valkey on the port that it had."""
        url = self.redis_url
        self._held.append(attach(self._folder, postgres=False))
        assert self._held[-1].redis_url == url

    def redis_answers(self) -> bool:
        """True where Redis takes commands."""
        with redis.Redis.from_url(self.redis_url, socket_timeout=1, socket_connect_timeout=1) as connection:
            try:
                return bool(connection.ping())
            except (RedisError, OSError):
                return False

    def stop_postgres(self, how: signal.Signals) -> None:
        """Send a signal to the postmaster and return once another one has taken its place."""
        before = self._postgres().server_pid
        os.kill(before, how)
        until(lambda: self._is_another(before), "the next Postgres", timeout_s=30)

    def _is_another(self, pid: int) -> bool:
        running = status(self._folder)
        found = running.postgres if running else None
        return found is not None and found.ready and found.server_pid != pid

    def _postgres(self) -> RunningServer:
        running = status(self._folder)
        assert running is not None
        assert running.postgres is not None
        return running.postgres

    def _valkey(self) -> RunningServer:
        running = status(self._folder)
        assert running is not None
        assert running.valkey is not None
        return running.valkey
