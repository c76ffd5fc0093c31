"""What this process works with: one runtime, made after the fork."""

from __future__ import annotations

import mmap
import os
import uuid
from collections.abc import Mapping
from functools import cached_property

from agentflow.broker.batching import EventBatch
from agentflow.broker.events import EventStream
from agentflow.broker.hints import BrokerHints
from agentflow.declare.delivery import DeliveryKind
from agentflow.declare.registry import Registry, load
from agentflow.domain.identity import Worker
from agentflow.engine.pager import Pager
from agentflow.engine.runtime import Runtime
from agentflow.engine.watch import Watch
from agentflow.gate.fleet import fleet_gate
from agentflow.gate.redis_gate import RedisGate
from agentflow.llm.clients import client_for
from agentflow.llm.protocol import ModelClient
from agentflow.outbox.kinds import builtin_kinds
from agentflow.settings import settings
from agentflow.store.database import Database
from agentflow.telemetry.sentry import report_bug

from .app import app, services
from .continued import Announcer
from .leaving import Leaving


class Process:
    """A worker's process: the main one, and over the fork each child of its pool.

    `worker_id` is one per boot of the worker, so its children share it. `isolated` says that the process does one step
    at a time and may be killed for it. `watch`, `leaving`, `pager` are of the main process alone. That it is draining,
    its children read from memory that they share with it.
    """

    def __init__(self) -> None:
        self.worker_id = str(uuid.uuid4())
        self.isolated = False
        self.watch: Watch | None = None
        self.leaving: Leaving | None = None
        self.pager: Pager | None = None
        self._runtime: Runtime | None = None
        self._announcers: dict[int, Announcer] = {}
        self._pid = 0
        self._draining = mmap.mmap(-1, 1)

    @cached_property
    def registry(self) -> Registry:
        """What this worker serves."""
        return load(settings().agent_modules)

    @cached_property
    def deliveries(self) -> Mapping[str, DeliveryKind]:
        """The kinds of messages that this worker can deliver."""
        return {**builtin_kinds(settings()), **self.registry.deliveries}

    @property
    def runtime(self) -> Runtime:
        """What this process works with, made at its first use."""
        if self._runtime is None or self._pid != os.getpid():
            self._runtime, self._pid = self._make_runtime(), os.getpid()
        return self._runtime

    @property
    def announcer(self) -> Announcer:
        """Who tells of the steps that this process goes on to; one for all of its threads, whoever comes first."""
        pid = os.getpid()
        if pid not in self._announcers:
            self._announcers.setdefault(pid, Announcer(EventBatch(EventStream(services.redis_url))))
        return self._announcers[pid]

    @property
    def queues(self) -> frozenset[str]:
        """The queues that this worker serves."""
        return frozenset(app.amqp.queues.consume_from)

    def is_draining(self) -> bool:
        """True once the worker was told to end: what runs may finish, nothing new is begun."""
        return self._draining[0] != 0

    def drain(self) -> None:
        """Say to all processes of this worker that it was told to end."""
        self._draining[0] = 1

    def database(self, application: str, *, pool: int) -> Database:
        """Return a way to Postgres under a name that shows in its list of connections."""
        configured = settings()
        return Database(
            services.database_url,
            schema=configured.db_schema,
            application=application,
            pool=pool,
            prepare=configured.prepare_statements,
        )

    def hints(self) -> BrokerHints:
        """Return a way to the broker."""
        return BrokerHints(services.redis_url)

    def model_client(self, model: str, api_key: str | None = None) -> ModelClient:
        """Return the client of a model."""
        configured = settings()
        return client_for(model, base_url=configured.llm_base_url, api_key=api_key, prices=configured.price_table)

    def gate(self) -> RedisGate:
        """Return a way to the gate that the whole fleet shares."""
        return fleet_gate(services.redis_url, settings().db_schema)

    def _make_runtime(self) -> Runtime:
        configured = settings()
        return Runtime(
            database=self.database("agentflow step", pool=1 if self.isolated else 16),
            registry=self.registry,
            hints=self.hints(),
            worker=Worker.of_this_process(self.worker_id),
            models=self.model_client,
            isolated=self.isolated,
            gate=self.gate(),
            deliveries=self.deliveries,
            pool_slots=int(os.environ.get("AGENTFLOW_POOL_SLOTS", "0")) or None,
            prices=configured.price_table,
            report_bug=report_bug,
            continue_steps=configured.continue_steps,
            continue_s=configured.continue_s,
            queues=self.queues,
            is_draining=self.is_draining,
            announcer=self.announcer,
        )


process = Process()
