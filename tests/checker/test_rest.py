"""Group 6 can fail: what somebody still holds is reported, in the database, in its connections and in Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis

from agentflow.gate.redis_gate import RedisGate
from agentflow.local import attach
from tests.checker.breaking import Broken, assert_reported, cases, found
from tests.checker.evidence import Evidence, Fault
from tests.checker.records import connected

if TYPE_CHECKING:
    from tests.checker.healthy import Healthy

GROUP = 6


@cases(
    running=Broken(
        "run {parcel} step 1",
        "is running",
        "update agentflow.agent_steps set status = 'running' where run_id = %(parcel)s and step_index = 1",
    ),
    leased=Broken(
        "run {errands} step 2",
        "with a lease",
        "update agentflow.agent_steps set lease_until = now() where run_id = %(errands)s and step_index = 2",
    ),
    key_in_flight=Broken(
        "run {errands} step 2",
        "'charge:1' (in_flight)",
        "update agentflow.idempotency_records set status = 'in_flight' where key = 'charge:1'",
    ),
    key_of_nobody=Broken(
        "run {errands} step 99",
        "though it is gone",
        "update agentflow.idempotency_records set status = 'in_flight', step_index = 99 where key = 'charge:1'",
    ),
    key_being_undone=Broken(
        "run {undone} step 0",
        "(compensating)",
        "update agentflow.idempotency_records set status = 'compensating' where run_id = %(undone)s",
    ),
    person_asked_for_nothing=Broken(
        "run {gift} step 1",
        "still asked",
        "update agentflow.agent_steps set status = 'skipped' where run_id = %(gift)s",
    ),
    decision_due=Broken(
        "run {errands}",
        "next decision is due",
        "update agentflow.agent_runs set advance_due_at = now() where run_id = %(errands)s",
    ),
    turn_of_a_run_that_is_over=Broken(
        "conversation first",
        "over or gone",
        "update agentflow.conversations set turn_run_id = %(errands)s where conversation_id = 'first'",
    ),
    refreshing=Broken(
        "credential shop",
        "still being refreshed",
        "insert into agentflow.credentials (name, refreshing_until) values ('shop', now() + interval '1 hour')",
    ),
)
def test_what_is_still_held_in_the_database_is_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)


def test_leased_message_is_reported(healthy: Healthy) -> None:
    violations = found(GROUP, healthy, Broken("", "", "update agentflow.outbox set lease_until = now()"))

    assert [each.what for each in violations] == ["is sent and still leased"] * 2


def test_connection_that_idles_in_a_transaction_is_reported(healthy: Healthy) -> None:
    with connected(healthy.evidence.database_url) as idle, idle.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        [pid] = cursor.fetchone()
        deadline = time.monotonic() + 20
        while not (violations := found(GROUP, healthy, Broken("", ""))):
            assert time.monotonic() < deadline, "nobody reports the connection"

    assert [each.subject for each in violations] == [f"connection {pid}"]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with attach(tmp_path_factory.mktemp("checker"), postgres=False) as services:
        yield services.redis_url


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as connection:
        connection.flushall()
        yield connection


def subjects(healthy: Healthy, redis_url: str, **more: object) -> list[str]:
    def beside_redis(evidence: Evidence, _: object) -> Evidence:
        return replace(evidence, redis_url=redis_url, queues=["tool.book"], **more)  # type: ignore[arg-type]

    return [each.subject for each in found(GROUP, healthy, Broken("", "", evident=beside_redis))]


GATE = "agentflow:gate:agentflow"


def test_redis_at_rest_is_not_reported(healthy: Healthy, server: redis.Redis, redis_url: str) -> None:
    server.zadd(f"{GATE}:slots:{{book}}", {"over": 1.0})
    server.zadd(f"{GATE}:waiters:{{book}}", {f"{healthy.runs['gift']}:1": 1.0})

    assert subjects(healthy, redis_url) == []


def test_message_that_is_left_in_a_queue_is_reported(healthy: Healthy, server: redis.Redis, redis_url: str) -> None:
    server.lpush("tool.book", "{}")

    assert subjects(healthy, redis_url) == ["queue tool.book"]


@pytest.mark.parametrize("kind", ["slots", "woken"])
def test_what_the_gate_still_holds_is_reported(
    healthy: Healthy, server: redis.Redis, redis_url: str, kind: str
) -> None:
    server.zadd(f"{GATE}:{kind}:{{book}}", {"held": 4e9})

    assert subjects(healthy, redis_url) == [f"{GATE}:{kind}:{{book}}"]


def test_waiter_whose_step_is_over_is_reported(healthy: Healthy, server: redis.Redis, redis_url: str) -> None:
    server.zadd(f"{GATE}:waiters:{{book}}", {f"{healthy.runs['errands']}:4": 1.0})

    assert subjects(healthy, redis_url) == [f"{GATE}:waiters:{{book}}"]
    assert subjects(healthy, redis_url, faults=[Fault("freeze_redis", "r", 0.0, 1.0)]) == []


def test_keys_are_those_that_the_gate_writes(server: redis.Redis, redis_url: str) -> None:
    names = RedisGate(redis_url, prefix=GATE)._keys.bulkhead("book")

    assert {f"{GATE}:{kind}:{{book}}" for kind in ("slots", "woken", "waiters")} <= set(names)
