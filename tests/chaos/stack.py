"""Owns everything that runs for one chaos: servers, doors, the outside world, the airline, the fleet, a client."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from agentflow import Client
from agentflow.broker.hints import BrokerHints
from agentflow.local import status
from agentflow.settings import postgres_url
from agentflow.store import schema
from agentflow.store.database import probe_engine
from bench import processes
from tests.chaos import agents
from tests.chaos.airline import Airline, opened
from tests.chaos.configured import SCHEMA, client_settings, worker_environment
from tests.chaos.diary import Diary
from tests.chaos.doors import Doors
from tests.chaos.fleet import WORKERS, Fleet
from tests.chaos.fronts import ModelFront
from tests.integration.workers.disturbance import Doubler
from tests.integration.workers.servers import Servers
from tests.integration.workers.truth import Truth
from tests.integration.workers.waiting import until
from tests.world.process import World

_WORLD_DELAY_S = 0.1
_QUEUES = "select distinct unnest(queues) as queue from agentflow.workers"


class Stack:
    """Runs in a folder of its own until the end of the `with` block. `truth` and `servers` avoid the doors."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._seed = seed
        self._open = ExitStack()
        self.diary = Diary(folder / "faults.jsonl")
        self.servers: Servers
        self.doors: Doors
        self.world: World
        self.airline: Airline | None
        self.truth: Truth
        self.fleet: Fleet
        self.client: Client

    def __enter__(self) -> Self:
        processes.forget_own_services()
        try:
            self._start_servers()
            self._start_outside()
            self._start_doors()
            self._start_fleet()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def database_url(self) -> str:
        """Postgres itself."""
        return postgres_url(self.servers.database_url)

    @cached_property
    def doubler(self) -> Doubler:
        """What sends every hint again; it reads and publishes by this stack's truth and hints."""
        return Doubler(self)  # type: ignore[arg-type]

    @cached_property
    def hints(self) -> BrokerHints:
        """The broker itself, for hints that are doubled."""
        hints = BrokerHints(self.servers.redis_url)
        self._open.callback(hints.close)
        return hints

    @cached_property
    def engine(self) -> Engine:
        """An engine without a pool on Postgres itself."""
        return probe_engine(self.database_url)

    @property
    def hooks_url(self) -> str:
        """Where runs tell of their end."""
        return f"{self.doors.url('world')}/hooks"

    def queues(self) -> Sequence[str]:
        """Return the queues that workers have served."""
        return sorted(row["queue"] for row in self.truth.rows(_QUEUES))

    def signal_redis(self, which: signal.Signals) -> None:
        """Send a signal to Valkey."""
        running = status(self._services)
        assert running is not None
        assert running.valkey is not None
        os.kill(running.valkey.server_pid, which)

    def wait_until_ready(self, timeout_s: float = 90.0) -> None:
        """Return once every seat's worker has registered."""
        until(lambda: self._unready() == [], "the workers", timeout_s=timeout_s)

    def open_client(self) -> Client:
        """Return a client whose every call goes through the doors."""
        client = Client(client_settings(self.doors))
        self._open.callback(client.close)
        return client

    @property
    def _services(self) -> Path:
        return self.folder / "services"

    def _start_servers(self) -> None:
        self.servers = self._open.enter_context(Servers(self._services))
        # A frozen server ends with nobody.
        self._open.callback(self.signal_redis, signal.SIGCONT)
        schema.upgrade(self.database_url, SCHEMA)
        agents.prepare(self.database_url)
        self.truth = Truth(self.database_url)

    def _start_outside(self) -> None:
        self.world = self._open.enter_context(
            World(self.folder / "world", seed=self._seed, mail_password=agents.MAIL_PASSWORD)
        )
        self.airline = self._open.enter_context(opened(self.folder / "airline"))
        servers = {"*": self.world.model_base_url, **(self.airline.models if self.airline else {})}
        self._front = self._open.enter_context(ModelFront(servers, self._seed))

    def _start_doors(self) -> None:
        urls = {"postgres": self.servers.database_url, "redis": self.servers.redis_url, "world": self.world.url}
        self.doors = self._open.enter_context(Doors(urls))
        # Calls take their time: whoever is killed shall be in the middle of one.
        self.doors.delay("world", _WORLD_DELAY_S)

    def _start_fleet(self) -> None:
        environment = worker_environment(self.doors, self._front.base_url, self.world, self.airline)
        self.fleet = Fleet(self.folder / "fleet", environment)
        self._open.callback(self.fleet.end)
        for seat in (*WORKERS, "beat"):
            self.fleet.seat(seat)
        self.wait_until_ready()
        self.client = self.open_client()

    def _unready(self) -> list[str]:
        seats = self.fleet.pids()
        return [name for pid, name in seats.items() if name in WORKERS and not self.truth.is_registered(pid)]
