"""Measures one relay: 1,000 e-mails through the gate and the outbox to a real mail server on this machine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from agentflow.broker.hints import BrokerHints
from agentflow.declare.registry import Registry
from agentflow.domain.identity import Worker
from agentflow.domain.outcome import OutboxMessage
from agentflow.engine.relaying import relay_kind
from agentflow.engine.runtime import Runtime
from agentflow.gate.fleet import fleet_gate
from agentflow.llm.clients import client_for
from agentflow.local import Services, attach
from agentflow.outbox.kinds import builtin_kinds
from agentflow.settings import Settings, postgres_url
from agentflow.store import outbox, schema
from agentflow.store.database import Database
from bench import usage
from bench.figures import Broken, Figure, Skipped
from bench.waiting import until

_LETTERS = 1_000
_WARM_UP = 50
_GOAL_MS = 5.0
_SCHEMA = "agentflow"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield what one letter takes, from its claim to its record. The relay works here as in the child of a pool."""
    try:
        from bench.mail_server import serving
    except ImportError as error:
        raise Skipped(f"{error.name} is not installed") from error
    with attach(folder) as services, serving() as server:
        schema.upgrade(postgres_url(services.database_url), _SCHEMA)
        runtime = _runtime(services, server.port)
        _relay(runtime, _WARM_UP)
        took_s = _relay(runtime, _LETTERS)
        statuses = {row["status"] for row in _rows(runtime)}
        runtime.database.close()
        arrived = server.close()
    until(lambda: not usage.servers(folder), "end of the servers")
    if arrived != {"letters": _LETTERS + _WARM_UP, "ids": _LETTERS + _WARM_UP} or statuses != {"sent"}:
        raise Broken(f"of {_LETTERS + _WARM_UP} letters there arrived {arrived}; in the outbox they are {statuses}")
    yield Figure("one e-mail, by one relay", took_s / _LETTERS * 1_000, "ms", _GOAL_MS)
    yield Figure("e-mails, by one relay", _LETTERS / took_s, "per s")


def _relay(runtime: Runtime, letters: int) -> float:
    """Queue letters, relay until all have left, and return the seconds that this took."""
    body = "Your refund of 5 dollars is on its way.\n" * 10
    letter = {"to": "ann@example.com", "subject": "Your refund", "body": body}
    messages = [OutboxMessage("email", letter)] * letters
    run_id = str(uuid.uuid4())
    runtime.database.atomically(lambda tx: outbox.queue(tx, messages, tenant="default", run_id=run_id, step_index=0))
    began = time.perf_counter()
    while any(row["status"] == "pending" for row in _rows(runtime)):
        relay_kind(runtime, "email")
    return time.perf_counter() - began


def _rows(runtime: Runtime) -> list[dict[str, str]]:
    with runtime.database.transaction() as tx:
        found = outbox.listing(tx, "default", status=None, kind=None, run_id=None, most=2 * _LETTERS)
    return [{"status": row["status"]} for row in found]


def _runtime(services: Services, port: int) -> Runtime:
    smtp_url = SecretStr(f"smtp://127.0.0.1:{port}?starttls=off&from=agent@example.com")
    return Runtime(
        database=Database(postgres_url(services.database_url), schema=_SCHEMA, application="agentflow bench", pool=1),
        registry=Registry.of([]),
        hints=BrokerHints(services.redis_url),
        worker=Worker.of_this_process(),
        models=lambda model, api_key=None: client_for(model, api_key=api_key),
        isolated=True,
        gate=fleet_gate(services.redis_url, _SCHEMA),
        deliveries=builtin_kinds(Settings(smtp_url=smtp_url)),
    )
