"""Owns what a test of whole conversations needs: servers, tables, the recorded model, the service, workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from pydantic import SecretStr
from sqlalchemy import Engine

from agentflow import Client
from agentflow.local import attach
from agentflow.settings import Settings
from agentflow.store import schema
from tests.acceptance.airline import comparison, dataset, transcript
from tests.acceptance.airline.fleet import Fleet
from tests.acceptance.airline.processes import served
from tests.acceptance.airline.tables import create_tables
from tests.acceptance.airline.world import World

SCHEMA = "agentflow"


@dataclass(frozen=True, slots=True)
class Stage:
    """A running airline: its client, its database, its workers."""

    client: Client
    engine: Engine
    fleet: Fleet
    redis_url: str

    def flush_redis(self) -> None:
        """Empty Redis, messages, breakers, limits and all."""
        with redis.Redis.from_url(self.redis_url) as connection:
            connection.flushall()

    def differences(self) -> list[str]:
        """Name everything that is not as it was recorded: endings, answers, prompts, rows, writes."""
        conversations = dataset.conversations()
        with self.engine.connect() as connection:
            return [
                *transcript.ending_differences(connection, conversations),
                *transcript.answer_differences(connection, conversations),
                *transcript.prompt_differences(connection, conversations),
                *comparison.row_differences(connection, conversations),
                *comparison.write_differences(connection, conversations),
            ]


@contextmanager
def set_stage(folder: Path, writes: str) -> Iterator[Stage]:
    """Start everything in a folder of its own; `writes` is the effect of the airline's writes."""
    with attach(folder / "services") as services:
        world = World(services.database_url)
        try:
            _prepare(world, services.database_url)
            environment = _environment(services.database_url, services.redis_url, writes)
            with _servers(folder, environment) as urls, Fleet({**environment, **urls}, folder) as fleet:
                fleet.wait_until_ready(world.engine)
                client = Client(_settings(services.database_url, services.redis_url))
                yield Stage(client, world.engine, fleet, services.redis_url)
        finally:
            world.close()


@contextmanager
def _servers(folder: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    recording = ("--recording", str(dataset.FOLDER / "conversations.jsonl"))
    model = served("agentflow.llm.server", *recording, environment=environment, log=folder / "model.log")
    service = served("tests.acceptance.airline.service", environment=environment, log=folder / "airline.log")
    with model as model_url, service as service_url:
        yield {"AGENTFLOW_LLM_BASE_URL": model_url, "AIRLINE_URL": service_url}


def _prepare(world: World, database_url: str) -> None:
    schema.upgrade(database_url, SCHEMA)
    with world.engine.begin() as connection:
        create_tables(connection)


def _environment(database_url: str, redis_url: str, writes: str) -> dict[str, str]:
    return {
        "AGENTFLOW_DATABASE_URL": database_url,
        "AGENTFLOW_REDIS_URL": redis_url,
        "AGENTFLOW_DB_SCHEMA": SCHEMA,
        "AGENTFLOW_AGENTS": "tests.acceptance.airline.agent",
        "AIRLINE_WRITES": writes,
    }


def _settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), db_schema=SCHEMA)
