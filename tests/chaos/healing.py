"""Owns the wait for rest, once the world has healed: what is still on its way, and how long it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from tests.chaos.stack import Stack

GOAL_S = 60.0
# What has not come to rest by then is shown, and judged as it stands.
PATIENCE_S = 180.0
_POLL_S = 0.3
_COUNTED = ("slots", "woken")

# A run at rest is final, or waits for a person, or for its conversation's turn behind such a run.
_MOVING = """
    select r.run_id::text, r.agent, r.status, r.waiting_reason, r.advance_due_at::text,
        s.step_index, s.tool_name, s.status as step, s.waiting_reason as parked, s.attempt, s.next_attempt_at::text
    from agentflow.agent_runs r
    left join agentflow.agent_steps s on s.run_id = r.run_id and s.finished_at is null
    left join agentflow.conversations c on c.conversation_id = r.conversation_id and c.tenant = r.tenant
    left join agentflow.agent_runs t on t.run_id = c.turn_run_id
    where r.finished_at is null and (
        r.status not in ('waiting_human', 'paused')
            and not (coalesce(r.waiting_reason, '') = 'conversation_turn' and t.status in ('waiting_human', 'paused'))
        or s.status = 'running'
        or s.status = 'pending' and r.status <> 'paused'
            and coalesce(s.waiting_reason, '') not in ('approval', 'question', 'run_paused')
    )
    order by r.run_id, s.step_index
"""
_UNSENT = (
    "select message_id::text, kind, status from agentflow.outbox where status in ('pending', 'claimed', 'sending')"
)


@dataclass(frozen=True, slots=True)
class Rest:
    """After how many seconds everything rested, what came to rest last, and what did not within the patience.

    The slots of calls whose end the gate did not hear of are free after `slots_s`: their leases end by themselves.
    """

    seconds: float
    slots_s: float
    last: Sequence[str]
    moving: Sequence[str]


def wait_for_rest(stack: Stack, healed_at: float) -> Rest:
    """Return once nothing is on its way any more, or the patience is over."""
    seconds, last, moving = _waited(partial(_on_its_way, stack), healed_at)
    slots_s, _, held = _waited(partial(_slots, stack), healed_at)
    return Rest(seconds, slots_s, last, [*moving, *held])


def _waited(ask: Callable[[], list[str]], healed_at: float) -> tuple[float, list[str], list[str]]:
    """Return since when nothing is left, what was left last, and what still is at the end of the patience."""
    pause, last = threading.Event(), list[str]()
    while (left := ask()) and time.monotonic() - healed_at < PATIENCE_S:
        last = left
        pause.wait(_POLL_S)
    return time.monotonic() - healed_at, last, left


def _on_its_way(stack: Stack) -> list[str]:
    rows = [*stack.truth.rows(_MOVING), *stack.truth.rows(_UNSENT)]
    with redis.Redis.from_url(stack.servers.redis_url, decode_responses=True) as connection:
        lengths = {queue: connection.llen(queue) for queue in stack.queues()}
    leaving = [f"worker {pid}, asked to end" for pid in stack.fleet.lingering()]
    return [*map(_told, rows), *leaving, *(f"{length} in queue {name}" for name, length in lengths.items() if length)]


def _slots(stack: Stack) -> list[str]:
    """Return what the gate still counts as under way."""
    with redis.Redis.from_url(stack.servers.redis_url, decode_responses=True) as connection:
        seconds, _ = connection.time()
        keys = [
            key for kind in _COUNTED for key in connection.scan_iter(match=f"agentflow:gate:*:{kind}:*", count=1000)
        ]
        return [f"{key} {member}" for key in keys for member in connection.zrangebyscore(key, seconds, "+inf")]


def _told(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
