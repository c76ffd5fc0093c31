"""What beat asks for: each safe to run at any time, any number of times."""

from __future__ import annotations

from agentflow.store import schema, workers

from .app import app
from .process import process

_A_DAY_S = 86_400.0


@app.task(name="maintenance.forget_workers", ignore_result=True)
def forget_workers() -> None:
    """Delete the registrations of workers that ended over a day ago."""
    process.runtime.database.atomically(lambda tx: workers.forget(tx, _A_DAY_S))


@app.task(name="maintenance.make_partitions", ignore_result=True)
def make_partitions() -> None:
    """Make the partitions of the coming months: without them, runs go where nothing can be dropped."""
    database = process.runtime.database
    schema.make_partitions(database.url, database.schema)
