"""Owns the form that is compared with: a chain of Celery tasks, results in Redis, nothing durable."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from bench import celery_chain, processes, usage
from bench.agents import STEPS
from bench.figures import Broken
from bench.forms import RAW_CELERY, Burst, await_end
from bench.usage import Names

_RESULT = "celery-task-meta-"


class RawCelery:
    """A chain of Celery tasks on a worker of its own, until the end of the `with` block."""

    name = RAW_CELERY

    def __init__(self, folder: Path, redis_url: str, concurrency: int) -> None:
        self.redis_url = redis_url
        self._folder = folder
        self._concurrency = concurrency
        self._link = redis.Redis.from_url(redis_url)

    def __enter__(self) -> Self:
        # Nothing durable, so nothing on disk either.
        self._link.config_set("appendonly", "no")
        celery_chain.use_redis(self.redis_url)
        self._folder.mkdir(exist_ok=True)
        self._worker = processes.start(
            *("-A", celery_chain.__name__, "worker", "--without-gossip", "--without-mingle"),
            *("--concurrency", str(self._concurrency), "--loglevel", "WARNING"),
            folder=self._folder,
            environment={celery_chain.REDIS: self.redis_url},
            module="celery",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        processes.end(self._worker)
        celery_chain.app.close()
        self._link.close()

    def burst(self, runs: int) -> Burst:
        """Send chains at once and return when the last result of each is there."""
        began_at = time.time()
        last = [_RESULT + celery_chain.submit_chain(STEPS) for _ in range(runs)]
        submitted_at = time.time()
        ended_at = await_end(lambda: self._ended_at(last), runs)
        return Burst(runs, ended_at - began_at, submitted_at - began_at)

    def processes(self) -> Names:
        """Return the worker's processes and the broker's."""
        broker = self._link.info("server")["process_id"]
        return {**dict.fromkeys(usage.family(self._worker.pid, ""), "worker celery"), int(broker): "Valkey"}

    def _ended_at(self, keys: Sequence[str]) -> float | None:
        if self._link.exists(*keys) < len(keys):
            return None
        results = [json.loads(result) for result in self._link.mget(keys) if result]
        if any(result["status"] != "SUCCESS" for result in results):
            raise Broken("a chain's last task did not succeed")
        return max(datetime.fromisoformat(result["date_done"]).timestamp() for result in results)
