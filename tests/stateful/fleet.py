"""Owns the workers, their attempts and their sweepers, on one database, with one bag of messages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.client import Client
from agentflow.declare.registry import Registry
from agentflow.domain.hint import Hint
from agentflow.domain.identity import Worker
from agentflow.engine.deadman import NoTimer
from agentflow.engine.registration import Registration
from agentflow.engine.runtime import Runtime
from agentflow.engine.sweeper import Sweeper
from agentflow.settings import settings
from agentflow.store import workers
from agentflow.store.database import Database
from agentflow.store.tables import metadata
from tests.stateful import agents, observer, passing_time
from tests.stateful.attempt import Attempt
from tests.stateful.outside import World
from tests.stateful.post import Post

# Whether a worker's processes may be killed, and how many steps one message takes them.
_WORKERS = ((True, 3), (True, 1), (False, 3))
_KEPT = ("agents", "workers")
_EMPTY = ["public.ledger", "public.seen", *(f"agentflow.{each}" for each in metadata.tables if each not in _KEPT)]


@dataclass(slots=True)
class Boot:
    """One worker since it was started last."""

    runtime: Runtime
    sweeper: Sweeper

    @property
    def worker_id(self) -> str:
        """Which boot it is."""
        return self.runtime.worker.worker_id


class Fleet:
    """Two prefork workers, of which one takes a step a message, and one with threads."""

    def __init__(self, database_url: str) -> None:
        self.world, self.post = World(), Post()
        self.database = Database(database_url, application="agentflow test")
        self.client = Client(database_url=database_url, settings=settings(), hints=self.post)
        self._catalogue = agents.catalogue(self.world)
        self._registry = Registry.of(list(self._catalogue.agents.values()))
        self.attempts: list[Attempt] = []
        self.boots: list[Boot] = []
        self.sql(agents.LEDGER + ";" + observer.DDL)
        # Nothing here outlives its server, and commits are most of the time that an example takes.
        self.sql(
            "do $$ begin execute format('alter database %%I set synchronous_commit = off', current_database()); end $$"
        )
        self.database.close()
        Registration(str(uuid.uuid4()), "test", frozenset(self._registry.queues), self._registry).write(self.database)

    def begin_anew(self) -> None:
        """Empty everything, and start the workers."""
        self.world.forget()
        self.post.hints.clear()
        self.attempts.clear()
        self.sql(";".join(f"delete from {each}" for each in (*reversed(_EMPTY), "agentflow.workers")))
        self.boots = [self._boot(isolated=isolated, steps=steps) for isolated, steps in _WORKERS]

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.database.close()

    def sql(self, statement: str, **values: Any) -> Sequence[Mapping[str, Any]]:
        """Run a statement of the machine's own."""
        with self.database.transaction() as tx:
            result = tx.connection.exec_driver_sql(statement, values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    @property
    def held(self) -> list[Attempt]:
        """The attempts that stand somewhere on their way."""
        return [each for each in self.attempts if not each.is_over]

    def deliver(self, hint: Hint, boot: Boot, *, stop_at: str | None = None, crash_at: str | None = None) -> None:
        """Have a worker do what a hint asks for."""
        assert hint.run_id is not None
        attempt = Attempt(boot.runtime, hint.run_id, hint.step_index)
        self.attempts.append(attempt)
        attempt.begin(lambda: self.world.now, stop_at=stop_at, crash_at=crash_at)

    def pass_time(self, seconds: float, *, silent: Boot | None = None) -> None:
        """Let time pass, in which all workers but one beat."""
        beating = [boot.worker_id for boot in self.boots if boot is not silent]
        self.sql(passing_time.statements(seconds, beating).replace("%", "%%"))
        self.world.pass_time(seconds)

    def report_dead_children(self, boot: Boot) -> None:
        """Have a worker report which of its processes are gone."""
        alive = [each.pid for each in self.held if each.worker_id == boot.worker_id]
        boot.sweeper.report_dead_children(lambda: alive)

    def kill(self, place: int) -> None:
        """Kill a worker with all that it does; another takes its place."""
        for attempt in [each for each in self.held if each.worker_id == self.boots[place].worker_id]:
            attempt.crash()
        before = self.boots[place].runtime
        self.boots[place] = self._boot(isolated=before.isolated, steps=before.continue_steps)

    def _boot(self, *, isolated: bool, steps: int) -> Boot:
        worker = Worker.of_this_process()
        names = {agent.name: agent.version for agent in self._registry.agents.values()}
        where = {"hostname": "here", "pid": worker.pid, "pool": "prefork" if isolated else "threads"}
        served = {"queues": sorted(self._registry.queues), "agents": names}
        self.database.atomically(lambda tx: workers.register(tx, worker_id=worker.worker_id, **where, **served))
        runtime = Runtime(
            database=self.database,
            registry=self._registry,
            hints=self.post,
            worker=worker,
            models=_no_model,
            prices=settings().price_table,
            isolated=isolated,
            timer=NoTimer(),
            model_overrides=self._catalogue.models,
            draw=lambda: 0.5,
            continue_steps=steps,
            queues=frozenset(self._registry.queues),
        )
        return Boot(runtime, Sweeper(self.database, self.post, self.post, worker.worker_id))


def _no_model(model: str, api_key: str | None = None) -> Any:
    raise AssertionError(f"a model that nobody plays was asked for: {model}")
