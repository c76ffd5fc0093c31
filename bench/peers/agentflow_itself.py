"""agentflow: a pipeline of tools that do nothing, on the default pools with all that they do in production."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable

from agentflow import Client, Pipeline, tool
from agentflow.engine.sweeper import DEAD_S
from agentflow.settings import settings
from agentflow.store import schema, workers
from bench.peers.work import STEPS, database_url, do_step, redis_url
from bench.waiting import until

POOLS = ("default", "models", "quarantine")


def do_numbered_step(number: int) -> dict[str, object]:
    """Do the step; the next one gets the same number."""
    return do_step(number)


line = Pipeline("line", [tool(effect="read", name=f"step_{place}")(do_numbered_step) for place in range(STEPS)])


def prepare() -> None:
    """Make its tables."""
    schema.upgrade(_sqlalchemy_url(), settings().db_schema)


def work(pool: str) -> None:
    """Serve a pool, as `agentflow worker` does."""
    os.environ["AGENTFLOW_DATABASE_URL"] = _sqlalchemy_url()
    os.environ["AGENTFLOW_REDIS_URL"] = redis_url(0)
    os.environ["AGENTFLOW_AGENTS"] = __name__
    sys.argv[:] = ["agentflow", "worker", pool]
    runpy.run_module("agentflow", run_name="__main__", alter_sys=True)


def connect() -> Callable[[int], None]:
    """Return what submits so many runs, once every pool has registered."""
    client = Client(database_url=_sqlalchemy_url(), redis_url=redis_url(0))
    until(lambda: len(client.database.atomically(lambda tx: workers.alive(tx, DEAD_S))) == len(POOLS), "workers")

    def submit(count: int) -> None:
        for number in range(count):
            client.submit(line.name, {"number": number})

    return submit


def _sqlalchemy_url() -> str:
    return database_url().replace("postgresql://", "postgresql+psycopg2://", 1)
