"""Owns what the demo runs on: embedded Postgres and Valkey, the shop, the scripted model, and the workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from agentflow import Client
from agentflow.local import Services, attach
from agentflow.settings import Settings, postgres_url
from agentflow.store import schema
from examples.refunds.customers import SLOW_ORDER
from examples.refunds.leash import Leash, Process
from examples.refunds.shop.ledger import Entry, read_log

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("script.json")
SCHEMA = "agentflow"
POOLS = ("models", "default")
OWN_MODEL = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AGENTFLOW_LLM_BASE_URL")


@dataclass(slots=True)
class Stack:
    """Everything, running."""

    client: Client
    folder: Path
    services: Services
    leash: Leash
    environment: Mapping[str, str]
    workers: dict[str, Process] = field(default_factory=dict)

    def shop_log(self) -> list[Entry]:
        """Return the shop's own word on what it was asked for and what it paid."""
        return read_log(self.folder / "shop.jsonl")

    def start_worker(self, pool: str) -> int:
        """Start a worker and return its pid."""
        command = [sys.executable, "-m", "agentflow", "worker", pool]
        log = self.folder / f"worker-{pool}.log"
        self.workers[pool] = self.leash.start(command, environment=self.environment, log=log)
        return self.workers[pool].pid

    def kill_worker(self, pool: str) -> int:
        """Kill a worker with SIGKILL: it can't finish, give back or say anything. Return its pid."""
        self.workers[pool].kill()
        self.workers[pool].wait()
        return self.workers[pool].pid

    def empty_redis(self) -> None:
        """Delete everything in Redis."""
        with redis.Redis.from_url(self.services.redis_url) as connection:
            connection.flushall()

    def ended_workers(self) -> list[str]:
        """Return the pools whose worker ended by itself."""
        return [pool for pool, process in self.workers.items() if process.poll() is not None]


def has_own_model() -> bool:
    """True where the environment names a real model."""
    return any(os.environ.get(name) for name in OWN_MODEL)


@contextmanager
def started(folder: Path) -> Iterator[Stack]:
    """Start everything in a folder, empty of earlier demos, and end it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in (*folder.glob("*.log"), *folder.glob("*.jsonl")):
        log.unlink()
    with ExitStack() as open_, Leash() as leash:
        bare = _bare_environment()
        starting = [leash.start(command, environment=bare, log=folder / "servers.log", announces=True) for command in _servers(folder)]
        services = open_.enter_context(attach(folder))
        _empty(services)
        urls = dict(zip(("SHOP_URL", "AGENTFLOW_LLM_BASE_URL"), map(_announced, starting), strict=False))
        environment = {**bare, **_own_environment(services), **urls}
        client = open_.enter_context(_client(services))
        yield Stack(client, folder, services, leash, environment)
