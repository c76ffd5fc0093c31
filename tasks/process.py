"""What this process works with: one runtime, made after the fork."""

from __future__ import annotations

import os
import uuid
from functools import partial

from agentflow.broker.celery_app import broker_app
from agentflow.broker.hints import BrokerHints
from agentflow.declare.registry import Registry, load
from agentflow.domain.identity import Worker
from agentflow.engine.runtime import Runtime
from agentflow.llm.clients import client_for
from agentflow.settings import settings
from agentflow.store.database import Database

from .app import services

# One per boot of the worker; its pool's children inherit it over the fork.
WORKER_ID = str(uuid.uuid4())

_registry: Registry | None = None
_runtime: Runtime | None = None
_runtime_pid = 0
_isolated = False


def registry() -> Registry:
    """Return what this worker serves."""
    global _registry
    if _registry is None:
        _registry = load(settings().agent_modules)
    return _registry


def database(application: str, *, pool: int = 5) -> Database:
    """Return a way to Postgres under a name that shows in its list of connections."""
    return Database(services.database_url, schema=settings().db_schema, application=application, pool=pool)


def hints() -> BrokerHints:
    """Return a way to the broker."""
    return BrokerHints(broker_app(services.redis_url))


def isolate() -> None:
    """Note that this process does one step at a time and may be killed for it."""
    global _isolated
    _isolated = True


def runtime() -> Runtime:
    """Return this process's runtime, made at its first use."""
    global _runtime, _runtime_pid
    if _runtime is None or _runtime_pid != os.getpid():
        configured = settings()
        models = partial(client_for, base_url=configured.llm_base_url, prices=configured.price_table)
        _runtime = Runtime(
            database=database("agentflow step", pool=1 if _isolated else 16),
            registry=registry(),
            hints=hints(),
            worker=Worker.of_this_process(WORKER_ID),
            models=models,
            isolated=_isolated,
        )
        _runtime_pid = os.getpid()
    return _runtime
