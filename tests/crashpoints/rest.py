"""What still moves in a database: what is neither over nor waiting for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

_MOVING = """
    select r.input_payload::text as owner,
        'run ' || r.run_id || ' is ' || r.status || coalesce(', decision due at ' || r.advance_due_at, '') as what
    from agentflow.agent_runs r
    where r.finished_at is null and (r.status <> 'waiting_human' or r.advance_due_at is not null)
    union all
    select r.input_payload::text,
        'step ' || s.step_index || ' (' || s.tool_name || ') of ' || s.run_id || ' is ' || s.status
        || coalesce(', ' || s.waiting_reason, '')
    from agentflow.agent_steps s join agentflow.agent_runs r using (run_id)
    where s.status = 'running'
        or (s.status = 'pending' and s.waiting_reason is distinct from 'approval')
        or (s.status = 'in_doubt' and s.waiting_reason <> 'in_doubt')
    union all
    select r.input_payload::text,
        o.kind || ' ' || o.message_id || ' is ' || o.status || coalesce(': ' || (o.error::text), '')
    from agentflow.outbox o join agentflow.agent_runs r using (run_id)
    where o.status in ('pending', 'claimed', 'sending')
"""


@dataclass(frozen=True, slots=True)
class Restless:
    """Something that moves; `owner` is its run's input."""

    owner: str
    what: str


def moving(engine: Engine, redis: Any, queues: Sequence[str]) -> Sequence[Restless]:
    """Return what still moves: a message too, and a slot in the gate until it is given back or its time is over."""
    with engine.connect() as connection:
        found = [Restless(row.owner, row.what) for row in connection.execute(text(_MOVING))]
    now = _now(redis)
    for key in redis.keys("agentflow:gate:*:slots:*"):
        found += [Restless(str(member), f"{member} of {key}") for member in redis.zrangebyscore(key, now, "+inf")]
    found += [Restless("", f"{count} messages in {queue}") for queue in queues if (count := redis.llen(queue))]
    return found


def _now(redis: Any) -> float:
    seconds, microseconds = redis.time()
    return float(seconds) + microseconds / 1e6
