"""Group 6, that all is at rest: no lease, slot, waiter, key or transaction is left behind, and every queue is empty."""

from __future__ import annotations

from collections.abc import Iterator

from tests.checker.evidence import Evidence, Violation
from tests.checker.gates import check_redis
from tests.checker.records import Records, step_of

GROUP = 6
IDLE_S = 2.0

_LEASED = """
    select run_id, step_index, status, worker_id from {schema}.agent_steps
    where status = 'running' or lease_until is not null
"""

_MESSAGES = "select message_id, status from {schema}.outbox where lease_until is not null"

_KEYS = """
    select k.run_id, k.step_index, k.tool, k.key, k.status, s.status as step_status from {schema}.idempotency_records k
    left join {schema}.agent_steps s on s.run_id = k.run_id and s.step_index = k.step_index
    left join {schema}.agent_runs r on r.run_id = k.run_id
    where (k.status = 'in_flight' and coalesce(s.status, 'gone') not in ('pending', 'running', 'in_doubt'))
        or (k.status = 'compensating' and r.finished_at is not null)
"""

_ASKED = """
    select a.run_id, a.step_index, s.status from {schema}.approvals a
    left join {schema}.agent_steps s on s.run_id = a.run_id and s.step_index = a.step_index
    where a.status = 'pending' and coalesce(s.status, 'gone') <> 'pending'
"""

_DUE = """
    select run_id, advance_due_at from {schema}.agent_runs
    where advance_due_at is not null and finished_at is not null
"""

_TURNS = """
    select c.conversation_id, c.turn_run_id from {schema}.conversations c
    left join {schema}.agent_runs r on r.run_id = c.turn_run_id
    where c.turn_run_id is not null and (r.run_id is null or r.finished_at is not null)
"""

_REFRESHING = "select name from {schema}.credentials where refreshing_until > clock_timestamp()"

_IDLE = """
    select pid, application_name, state from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%%'
        and clock_timestamp() - state_change > make_interval(secs => %(idle_s)s)
"""


def check_rest(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Look for what somebody still holds, in the database and in Redis."""
    yield from _held(records)
    yield from _left_over(records)
    if evidence.redis_url is not None:
        yield from check_redis(records, evidence)


def _held(records: Records) -> Iterator[Violation]:
    for row in records.rows(_LEASED):
        yield Violation(GROUP, step_of(row), f"is {row['status']}, with a lease of worker {row['worker_id']}")
    for row in records.rows(_MESSAGES):
        yield Violation(GROUP, f"message {row['message_id']}", f"is {row['status']} and still leased")
    for row in records.rows(_KEYS):
        what = f"holds the key {row['key']!r} ({row['status']}), though it is {row['step_status'] or 'gone'}"
        yield Violation(GROUP, step_of(row), what)
    for row in records.rows(_REFRESHING):
        yield Violation(GROUP, f"credential {row['name']}", "is still being refreshed")
    for row in records.rows(_IDLE, idle_s=IDLE_S):
        yield Violation(GROUP, f"connection {row['pid']}", f"of {row['application_name']!r} is {row['state']}")


def _left_over(records: Records) -> Iterator[Violation]:
    for row in records.rows(_ASKED):
        yield Violation(GROUP, step_of(row), f"is {row['status'] or 'gone'}, and a person is still asked about it")
    for row in records.rows(_DUE):
        yield Violation(GROUP, f"run {row['run_id']}", "is over, and its next decision is due")
    for row in records.rows(_TURNS):
        what = f"has its turn with run {row['turn_run_id']}, which is over or gone"
        yield Violation(GROUP, f"conversation {row['conversation_id']}", what)
