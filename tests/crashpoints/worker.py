"""A worker's process, made as Celery's are: what it works with is `tasks.process`, and a message runs its task."""

from __future__ import annotations

import base64
import json
import os
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from celery.exceptions import Ignore, Retry

from agentflow.client import Client
from agentflow.domain.hint import Hint
from agentflow.engine.registration import Registration
from agentflow.engine.runtime import Runtime
from agentflow.engine.sweeper import Sweeper
from agentflow.gate.protocol import Gate
from agentflow.settings import settings
from agentflow.store import workers
from agentflow.store.database import Database
from tests.crashpoints.seam import seam


class Worker:
    """One worker's boot, in its main process and, over the fork, in its children."""

    def __init__(self) -> None:
        # They read the environment as they are imported, which is this worker's own by then.
        import tasks.coordinator
        import tasks.outbox
        import tasks.steps  # noqa: F401 - each registers its tasks
        from tasks.app import app
        from tasks.process import process

        self.process, self._tasks = process, app.tasks
        self.queues = sorted({*process.registry.queues, "quarantine"})

    @property
    def runtime(self) -> Runtime:
        """What this process works with."""
        return self.process.runtime

    def become_child(self) -> None:
        """In a forked process: do one step at a time, under the dead man's timer."""
        self.process.isolated = True
        self.runtime.queues = frozenset(self.queues)

    def register(self) -> None:
        """Tell the others of this worker."""
        Registration(self.process.worker_id, "default", frozenset(self.queues), self.process.registry).write(
            self.runtime.database
        )

    def beat(self) -> None:
        """Say that this worker lives."""
        worker_id = self.process.worker_id
        self.runtime.database.atomically(lambda tx: workers.beat(tx, worker_id, gap_s=5.0, draining=False))

    def sweeper(self, worker_id: str | None = None) -> Sweeper:
        """Return this worker's sweeper, or that of another worker; all that it talks through is open."""
        hints, gate = self.process.hints(), self.process.gate()
        database = self.process.database("agentflow watch", pool=1)
        _open(database, hints, gate)
        return Sweeper(database, hints, hints, worker_id or self.process.worker_id, gate)

    def client(self) -> Client:
        """Return a client of the same servers that has been in use for a while."""
        hints = self.process.hints()
        client = Client(settings(), hints=hints)
        _open(client.database, hints)
        return client

    def warm(self) -> None:
        """Open the connections that a process has kept from its earlier steps."""
        runtime = self.runtime
        _open(runtime.database, self.process.runtime.hints, runtime.gate)

    def warm_model(self, name: str) -> None:
        """Open the client of a model, as a worker does when it starts."""
        self.runtime.models(name).connect()  # type: ignore[attr-defined]

    def serve(self) -> None:
        """Take messages and run their tasks, until this process is ended."""
        seam.disarm()
        with redis.Redis.from_url(os.environ["AGENTFLOW_REDIS_URL"]) as broker:
            while True:
                taken = broker.brpop(self.queues, timeout=0.5)
                if taken is not None:
                    self._run(taken[1])

    def _run(self, text: bytes) -> None:
        message = json.loads(text)
        _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        try:
            self._tasks[message["headers"]["task"]].run(**kwargs)
        except (Ignore, Retry):
            return
        except Exception:  # noqa: BLE001 - for Celery a task that raises has failed, and its process goes on
            traceback.print_exc()


def _open(database: Database, hints: Any, gate: Gate | None = None) -> None:
    database.engine.connect().close()
    # To look into a queue and to publish take a connection each; nobody listens there.
    hints.oldest("empty")
    hints.publish([Hint("nobody", "nobody's")])
    if gate is not None:
        gate.capacity(["nothing"])


def enter_environment(database_url: str, redis_url: str, world: Any) -> None:
    """Give this process and its children the environment of one worker."""
    os.environ.update(environment(database_url, redis_url, world))
    settings.cache_clear()


def environment(database_url: str, redis_url: str, world: Any) -> Mapping[str, str]:
    """Return what a worker is told: its servers, and the world outside."""
    secret = base64.b64encode(b"crash points sign their webhooks").decode()
    return {
        "AGENTFLOW_DATABASE_URL": database_url,
        "AGENTFLOW_REDIS_URL": redis_url,
        "AGENTFLOW_AGENTS": "tests.crashpoints.agents",
        "AGENTFLOW_LLM_BASE_URL": world.model_base_url,
        "AGENTFLOW_SMTP_URL": f"smtp://127.0.0.1:{world.smtp_port}?from=shop@example.com&starttls=off&timeout=3",
        "AGENTFLOW_WEBHOOK_SECRET": f"whsec_{secret}",
        "AGENTFLOW_WEBHOOK_PRIVATE": "127.0.0.1",
        "AGENTFLOW_LOG_FORMAT": "json",
    }


def forget_queues(queues: Sequence[str]) -> None:
    """Take every message out of the queues, as a worker has that is about to run them."""
    with redis.Redis.from_url(os.environ["AGENTFLOW_REDIS_URL"]) as broker:
        broker.delete(*queues)
