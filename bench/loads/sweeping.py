"""Owns a sweeper of the benchmark's own, on servers without workers: so that nothing but the sweeps is measured."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from agentflow.broker.hints import BrokerHints
from agentflow.engine.sweeper import Sweeper
from agentflow.gate.fleet import fleet_gate
from agentflow.local import Services, attach
from agentflow.settings import postgres_url, settings
from agentflow.store.database import Database
from bench import usage
from bench.waiting import until


class Sweeping:
    """A sweeper, and the servers that it works on."""

    def __init__(self, services: Services, database: Database, sweeper: Sweeper) -> None:
        self.database_url = services.database_url
        self.redis_url = services.redis_url
        self._database = database
        self._sweeper = sweeper

    def sweep_s(self) -> float:
        """Sweep once, and return what that took in seconds."""
        began = time.perf_counter()
        assert self._sweeper.sweep(), "a sweeper that has the turn keeps it"
        return time.perf_counter() - began

    def wait_for_turn(self) -> None:
        """Return once those who had the turn before have lost it."""
        until(self._sweeper.sweep, "turn to sweep")

    def queued(self, *queues: str) -> int:
        """Return how many messages stand in some queues."""
        with redis.Redis.from_url(self.redis_url) as broker:
            return sum(int(broker.llen(queue)) for queue in queues)

    def empty(self, *queues: str) -> None:
        """Lose what stands in some queues."""
        with redis.Redis.from_url(self.redis_url) as broker:
            broker.delete(*queues)


@contextmanager
def sweeping(data_dir: Path) -> Iterator[Sweeping]:
    """Start the servers of a data directory, and a sweeper that has the turn; no worker."""
    with attach(data_dir) as services:
        url, schema = postgres_url(services.database_url), settings().db_schema
        database = Database(url, schema=schema, application="agentflow bench", pool=1)
        hints = BrokerHints(services.redis_url)
        gate = fleet_gate(services.redis_url, schema)
        found = Sweeping(services, database, Sweeper(database, hints, hints, str(uuid.uuid4()), gate))
        try:
            found.wait_for_turn()
            yield found
        finally:
            hints.close()
            database.close()
    until(lambda: not usage.servers(data_dir), "end of the servers")
