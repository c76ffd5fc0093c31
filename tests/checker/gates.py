"""Group 6 in Redis: queues are empty, and the gate holds no slot and no waiter for what is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records

GROUP = 6

_OVER = """
    select run_id || ':' || step_index as step from {schema}.agent_steps
    where status in ('ok', 'error') and attempt > 0
"""


def check_redis(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Look into the queues, and into what the gate keeps of each bulkhead."""
    with redis.Redis.from_url(evidence.redis_url or "", decode_responses=True) as connection:
        for queue in evidence.queues:
            if length := connection.llen(queue):
                yield Violation(GROUP, f"queue {queue}", f"still holds {length} messages")
        gate = f"agentflow:gate:{evidence.schema}"
        yield from _held(connection, f"{gate}:slots:*", "a slot is held")
        yield from _held(connection, f"{gate}:woken:*", "a place is kept")
        # Who was let in while the gate was away could not be taken off its list.
        if not any("redis" in fault.kind for fault in evidence.faults):
            yield from _waiting(connection, f"{gate}:waiters:*", {row["step"] for row in records.rows(_OVER)})


def _held(connection: Any, pattern: str, what: str) -> Iterator[Violation]:
    seconds, microseconds = connection.time()
    now = seconds + microseconds / 1e6
    for key in sorted(connection.scan_iter(match=pattern, count=1000)):
        # A score is the time at which it ends by itself.
        for member in connection.zrangebyscore(key, now, "+inf"):
            yield Violation(GROUP, key, f"{what}: {member}")


def _waiting(connection: Any, pattern: str, over: set[str]) -> Iterator[Violation]:
    for key in sorted(connection.scan_iter(match=pattern, count=1000)):
        for member in over.intersection(connection.zrange(key, 0, -1)):
            yield Violation(GROUP, key, f"waits for a step that is over: {member}")
