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
from agentflow.ports import answers, free_port
from agentflow.settings import settings
from agentflow.store import schema, workers
from bench import processes, usage
from bench.figures import Broken
from bench.processes import Process, read_tail
from bench.servers import set_up_postgres
from bench.waiting import until

POOLS = ("default", "models", "quarantine")
AGENTS = "bench.agents"

_BESIDE = ("beat", "flower")


class Stack:
    """Servers, workers that serve the benchmark's agents, and a client, until the end of the `with` block.

    `environment` is what the workers are told besides, or in place of what they would be told. `concurrency` says by
    pool how many steps at once, where it is not what the pool's configuration says. A `whole` stack has the schedule
    and Flower too, as `agentflow dev` has; `postgres` are settings of the server beside its usual ones.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        concurrency: Mapping[str, int] | None = None,
        whole: bool = False,
        postgres: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._environment = dict(environment or {})
        self._concurrency = concurrency or {}
        self._beside_names = _BESIDE if whole else ()
        self._postgres = postgres or {}
        self._flower_port = free_port() if whole else None
        self._workers: dict[str, Process] = {}
        self._beside: dict[str, Process] = {}
        self._fallen: list[Process] = []
        self._services: Services
        self.client: Client

    def __enter__(self) -> Self:
        if self._postgres:
            set_up_postgres(self._data_dir, self._postgres)
        self._services = attach(self._data_dir)
        self.client = Client(database_url=self.database_url, redis_url=self._services.redis_url)
        try:
            schema.upgrade(self.database_url, settings().db_schema)
            for pool in POOLS:
                self._start(pool)
            for name in self._beside_names:
                self._beside[name] = self._launch(name, "--log-level", "warning")
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

    def replace_workers(self, environment: Mapping[str, str]) -> None:
        """End the workers in order, and start others that are told something besides; return once they are ready."""
        processes.end(*self._workers.values())
        self._environment |= environment
        for pool in POOLS:
            self._start(pool)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once every worker has registered, and Flower answers where there is one."""
        until(self._is_ready, "workers", timeout_s=90)

    def worker(self, pool: str) -> int:
        """Return the pid of a pool's main process."""
        return self._workers[pool].pid

    def processes(self) -> dict[int, str]:
        """Return all processes by pid: workers by their pool, everything else by its name."""
        names = usage.servers(self._data_dir)
        for name, process in self._beside.items():
            names |= usage.family(process.pid, name)
        for pool, worker in self._workers.items():
            names |= usage.family(worker.pid, f"worker {pool}")
        return names

    @property
    def _data_dir(self) -> Path:
        return self._folder / "data"

    def _is_ready(self) -> bool:
        started = {**self._workers, **self._beside}
        if ended := [name for name, process in started.items() if process.poll() is not None]:
            raise Broken(f"{ended[0]} ended by itself; the log says last: {read_tail(self._folder)}")
        alive = self.client.database.atomically(lambda tx: workers.alive(tx, DEAD_S))
        registered = {worker.pid for worker in self._workers.values()} <= {row["pid"] for row in alive}
        return registered and (self._flower_port is None or answers(self._flower_port))

    def _start(self, pool: str) -> None:
        concurrency = ["-c", str(self._concurrency[pool])] if pool in self._concurrency else []
        self._workers[pool] = self._launch("worker", pool, *concurrency)

    def _launch(self, *arguments: str) -> Process:
        environment = {
            "AGENTFLOW_DATABASE_URL": self.database_url,
            "AGENTFLOW_REDIS_URL": self._services.redis_url,
            "AGENTFLOW_AGENTS": AGENTS,
            "AGENTFLOW_FLOWER_AUTH": "bench:bench",
            "AGENTFLOW_FLOWER_PORT": str(self._flower_port or ""),
            **self._environment,
        }
        return processes.start(*arguments, folder=self._folder, environment=environment)

    def _close(self) -> None:
        processes.end(*self._workers.values(), *self._beside.values(), *self._fallen)
        self.client.close()
        self._services.close()
        until(lambda: not usage.servers(self._data_dir), "end of the servers")
