"""Owns what workers and clients are told: every server of theirs is behind a door."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from agentflow.settings import Settings
from tests.chaos import agents, outside
from tests.chaos.airline import Airline
from tests.chaos.doors import Doors
from tests.world.process import World

SCHEMA = "agentflow"
POOLS = Path(__file__).with_name("pools.toml")


def worker_environment(doors: Doors, models_url: str, world: World, airline: Airline | None) -> dict[str, str]:
    """Return the environment of a worker."""
    modules = [agents.__name__, *(["tests.acceptance.airline.agent"] if airline else [])]
    return {
        "AGENTFLOW_DATABASE_URL": doors.url("postgres"),
        "AGENTFLOW_REDIS_URL": doors.url("redis"),
        "AGENTFLOW_DB_SCHEMA": SCHEMA,
        "AGENTFLOW_AGENTS": ",".join(modules),
        "AGENTFLOW_POOLS": str(POOLS),
        "AGENTFLOW_LLM_BASE_URL": models_url,
        **agents.environment(world),
        outside.URL: doors.url("world"),
        **(airline.environment if airline else {}),
    }


def client_settings(doors: Doors) -> Settings:
    """Return the settings of a client."""
    return Settings(
        database_url=SecretStr(doors.url("postgres")),
        redis_url=SecretStr(doors.url("redis")),
        db_schema=SCHEMA,
        webhook_private="127.0.0.1",
    )
