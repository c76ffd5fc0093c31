"""Owns the raw Celery application of the comparison: tasks that do nothing, results in Redis, nothing durable.

Its worker is a process of its own, `celery -A bench.celery_chain worker`; the environment tells it where Redis is.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, chain

REDIS = "BENCH_CHAIN_REDIS"

app = Celery("bench_chain")
app.conf.update(worker_hijack_root_logger=False, task_serializer="json", accept_content=["json"])


@app.task(name="chain.pass_on")  # type: ignore[untyped-decorator]  # Celery publishes no types
def pass_on(number: int) -> dict[str, Any]:
    """Answer what was given, in a result of about a hundred bytes."""
    return {"number": number, "value": "x" * 40}


def use_redis(url: str) -> None:
    """Take broker and results from one Redis."""
    app.conf.update(broker_url=url, result_backend=url)


def submit_chain(steps: int) -> str:
    """Send a chain of steps, and return the id of its last task."""
    return str(chain(*(pass_on.si(number) for number in range(steps))).apply_async().id)


if REDIS in os.environ:
    use_redis(os.environ[REDIS])
