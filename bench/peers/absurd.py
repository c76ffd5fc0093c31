"""absurd: a task whose steps are checkpoints in Postgres, in workers that poll twelve times as often as by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from absurd_sdk import Absurd
from absurdctl import BUNDLED_SCHEMA_SQL

from bench.peers.work import STEPS, database_url, do_step

QUEUE = "bench"
THREADS = 8

_POLL_S = 0.02


def prepare() -> None:
    """Make its schema, as its own command would through psql, and the queue."""
    with psycopg.connect(database_url(), autocommit=True) as connection:
        connection.execute(BUNDLED_SCHEMA_SQL)
    Absurd(database_url(), queue_name=QUEUE).create_queue()


def work(_name: str) -> None:
    """Take tasks and do them on a few threads."""
    app = Absurd(database_url(), queue_name=QUEUE)

    @app.register_task(name="line")
    def line(_params: Any, context: Any) -> dict[str, Any]:
        for number in range(STEPS):
            context.step(f"step {number}", partial(do_step, number))
        return {}

    app.start_worker(concurrency=THREADS, poll_interval=_POLL_S)


def connect() -> Callable[[int], None]:
    """Return what submits so many runs."""
    app = Absurd(database_url(), queue_name=QUEUE)

    def submit(count: int) -> None:
        for _ in range(count):
            app.spawn("line", {}, queue=QUEUE)

    return submit
