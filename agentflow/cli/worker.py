"""`agentflow worker`: one pool of workers, in this process."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentflow.cli.served import PoolPlan
    from agentflow.settings import Settings

LogLevel = Annotated[
    str, typer.Option("--log-level", envvar="AGENTFLOW_LOG_LEVEL", help="debug, info, warning or error.")
]


def worker(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="The pool: default, models, quarantine, or your own.")],
    *,
    concurrency: Annotated[int | None, typer.Option("-c", min=1, help="How many steps at once.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name in Flower; its pool and pid if not given.")] = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve the agents of AGENTFLOW_AGENTS: one worker pool, until SIGTERM or Ctrl-C."""
    from agentflow.cli.environment import import_from
    from agentflow.cli.logging import log_from_here
    from agentflow.cli.served import served_here
    from agentflow.services import connected
    from agentflow.settings import settings
    from agentflow.store import schema

    level = log_from_here(log_level)
    configured = settings()
    _refuse_nothing_declared(configured)
    import_from(Path.cwd())
    plan = served_here(configured).pool(pool)
    with connected(configured) as services:
        schema.check(services.database_url, configured.db_schema)
        raise typer.Exit(_run(plan, concurrency or plan.concurrency, name or f"{pool}.{os.getpid()}", level))


def _refuse_nothing_declared(configured: Settings) -> None:
    from agentflow.domain.errors import ConfigError

    if not configured.agent_modules:
        raise ConfigError("AGENTFLOW_AGENTS is not set: name the modules that declare your agents, in .env say")


def _run(plan: PoolPlan, concurrency: int, name: str, level: str) -> int:
    from agentflow.cli.celery_programs import run_worker

    os.environ["AGENTFLOW_POOL"] = plan.name
    os.environ["AGENTFLOW_POOL_SLOTS"] = str(plan.slots_of_one(concurrency) or 0)
    # Without a queue, Celery would take its default one: a pool that has nothing to serve idles on one of its own.
    queues = plan.queues or (f"pool.{plan.name}",)
    return run_worker(
        {
            "hostname": f"{name}@{socket.gethostname()}",
            "pool": plan.kind,
            "concurrency": concurrency,
            "queues": ",".join(queues),
            "loglevel": level,
        }
    )
