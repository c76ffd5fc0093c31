"""DBOS: a workflow of steps in Postgres, from a queue that its executors poll ten times as often as by default."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from dbos import DBOS, DBOSClient

from bench.peers.work import STEPS, database_url, do_step

QUEUE = "bench"
AT_ONCE = 8

_VERSION = "1"
_POLL_S = 0.1


def prepare() -> None:
    """Make its tables, and the queue with its settings."""
    DBOS.migrate(_url())
    DBOSClient(system_database_url=_url()).register_queue(
        QUEUE, worker_concurrency=AT_ONCE, polling_interval_sec=_POLL_S
    )


def work(_name: str) -> None:
    """Run workflows of the queue, some at once."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": _url(),
            "application_version": _VERSION,
            "executor_id": str(os.getpid()),
            "log_level": "WARNING",
            "enable_otlp": False,
        }
    )
    step = DBOS.step()(do_step)

    @DBOS.workflow(name="line")
    def line() -> None:
        for number in range(STEPS):
            step(number)

    DBOS.listen_queues([QUEUE])
    DBOS.launch()
    threading.Event().wait()


def connect() -> Callable[[int], None]:
    """Return what submits so many runs."""
    client = DBOSClient(system_database_url=_url())

    def submit(count: int) -> None:
        for _ in range(count):
            client.enqueue({"queue_name": QUEUE, "workflow_name": "line", "app_version": _VERSION})

    return submit


def _url() -> str:
    return database_url().replace("postgresql://", "postgresql+psycopg://", 1)
