"""Owns a stack of workers: embedded servers and one worker per default pool, in a folder of their own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from agentflow import Client
from agentflow.engine.sweeper import DEAD_S
from agentflow.local import Services, attach
from agentflow.settings import settings
from agentflow.store import schema, workers
from bench import processes, usage
from bench.figures import Broken
from bench.processes import Process, read_tail
from bench.waiting import until

POOLS = ("default", "models", "quarantine")
AGENTS = "bench.agents"


class Stack:
    """Servers, workers that serve the benchmark's agents, and a client, until the end of the `with` block.

    `environment` is what the workers are told besides, or in place of what they would be told.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = environment or {}
        self._workers: dict[str, Process] = {}
        self._fallen: list[Process] = []
        self._services: Services
        self.client: Client

    def __enter__(self) -> Self:
        self._services = attach(self._data_dir)
        self.client = Client(database_url=self.database_url, redis_url=self._services.redis_url)
        try:
            schema.upgrade(self.database_url, settings().db_schema)
            for pool in POOLS:
                self._start(pool)
            self.wait_until_ready()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    @property
    def database_url(self) -> str:
        """Where Postgres is."""
        return self._services.database_url

    @property
    def redis_url(self) -> str:
        """Where Valkey is."""
        return self._services.redis_url

    def kill(self, *pools: str) -> float:
        """Kill the pools' workers with SIGKILL, start others in their place, and return when they were killed."""
        killed_at = time.time()
        for pool in pools:
            self._workers[pool].kill()
        for pool in pools:
            self._fallen.append(self._workers[pool])
            self._start(pool)
        return killed_at

    def wait_until_ready(self) -> None:
        """Return once every worker has registered."""
        until(self._is_ready, "workers", timeout_s=90)

    def processes(self) -> dict[int, str]:
        """Return all processes by pid: workers by their pool, servers by their name."""
        names = usage.servers(self._data_dir)
        for pool, worker in self._workers.items():
            names |= usage.family(worker.pid, f"worker {pool}")
        return names

    @property
    def _data_dir(self) -> Path:
        return self._folder / "data"

    def _is_ready(self) -> bool:
        if any(worker.poll() is not None for worker in self._workers.values()):
            raise Broken(f"a worker ended by itself; the log says last: {read_tail(self._folder)}")
        alive = self.client.database.atomically(lambda tx: workers.alive(tx, DEAD_S))
        return {worker.pid for worker in self._workers.values()} <= {row["pid"] for row in alive}

    def _start(self, pool: str) -> None:
        environment = {
            "AGENTFLOW_DATABASE_URL": self.database_url,
            "AGENTFLOW_REDIS_URL": self._services.redis_url,
            "AGENTFLOW_AGENTS": AGENTS,
            **self._environment,
        }
        self._workers[pool] = processes.start("worker", pool, folder=self._folder, environment=environment)

    def _close(self) -> None:
        processes.end(*self._workers.values(), *self._fallen)
        self.client.close()
        self._services.close()
        until(lambda: not usage.servers(self._data_dir), "end of the servers")
