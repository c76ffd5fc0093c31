"""Servers that fail and messages that are lost or doubled: every run ends, and nothing happens twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import closing

import psycopg2
import pytest
import redis
from sqlalchemy import make_url

from agentflow.client.handle import RunHandle
from tests.integration.workers.broker import BrokerNode
from tests.integration.workers.disturbance import Doubler, Thief
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

# Two workers of one pool: who does a step is anybody's guess.
WORKERS = (WorkerPlan("default", ("shop",)), WorkerPlan("default", ("shop",)), WorkerPlan("models", ("shop",)))
MANY = 100
QUEUES = ["coordinator", "tool.price", "tool.charge", "tool.enter", "tool.announce"]


def test_a_run_submitted_in_a_psycopg2_transaction_is_found_without_a_hint(stack: Stack) -> None:
    with closing(psycopg2.connect(_libpq_url(stack.truth.url))) as connection:
        handle = stack.client.submit("orders", {"order": "x"}, connection=connection)
        assert stack.truth.rows("select 1 from agentflow.agent_runs where run_id = :id", id=handle.run_id) == []
        connection.commit()
        committed_at = time.time()

    until(lambda: stack.steps(handle), "the first step", timeout_s=5)

    print(f"found {time.time() - committed_at:.2f} s after the caller's commit")
    assert_each_happened_once(stack, [handle])


def test_workers_of_one_pool_share_the_work_and_do_nothing_twice(stack: Stack) -> None:
    handles = submit_many(stack)

    assert_each_happened_once(stack, handles)
    assert len({each["worker"] for each in stack.world.arrivals() if each["run"] in _ids(handles)}) == 2


def test_messages_that_are_doubled_do_nothing_twice(stack: Stack) -> None:
    with Doubler(stack) as doubler:
        handles = submit_many(stack)
        stack.await_final(handles)
        until(lambda: doubler.doubled >= 5 * MANY, "a second hint for every run and step")

    assert_each_happened_once(stack, handles)
    assert not any("raised unexpected" in node.logs() for node in stack.nodes), "a second hint is no surprise"


def test_messages_that_are_lost_lose_no_run(stack: Stack) -> None:
    with Thief(stack.servers.redis_url, QUEUES, most=10) as thief:
        handles = submit_many(stack)
        until(lambda: thief.stolen == 10, "the theft of 10 messages")

    assert_each_happened_once(stack, handles)


def test_a_flushed_redis_in_the_middle_of_many_runs_loses_none(stack: Stack) -> None:
    handles = submit_many(stack)
    await_middle(stack, handles)

    stack.servers.flush_redis()

    assert_each_happened_once(stack, handles)


def test_a_redis_that_is_killed_and_starts_again_loses_none(stack: Stack) -> None:
    handles = submit_many(stack)
    await_middle(stack, handles)

    stack.servers.crash_redis()

    assert_each_happened_once(stack, handles)


def test_submissions_are_accepted_while_redis_is_down_and_run_later(stack: Stack) -> None:
    broker = BrokerNode(stack.servers)
    broker.kill()
    try:
        handles = submit_many(stack, 10)
        assert {handle.get().status for handle in handles} == {"pending"}
    finally:
        broker.restart()

    assert_each_happened_once(stack, handles)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["fast shutdown", "kill"])
def test_a_postgres_that_starts_again_in_the_middle_of_many_runs_loses_none(stack: Stack, how: signal.Signals) -> None:
    handles = submit_many(stack)
    await_middle(stack, handles)

    stack.servers.stop_postgres(how)

    assert_each_happened_once(stack, handles)
    assert all(node.is_running for node in stack.nodes)


def test_an_idle_stack_publishes_nothing_and_asks_the_database_little(stack: Stack) -> None:
    # Postgres adds up what a session did as late as ten seconds after it, so the first looks may count earlier work.
    def rests() -> bool:
        pushes, commits, started = _pushes(stack), _commits(stack), time.monotonic()
        time.sleep(3)
        per_second = (_commits(stack) - commits) / (time.monotonic() - started)
        print(f"idle: {per_second:.1f} transactions a second by {len(stack.nodes)} workers")
        return _pushes(stack) == pushes and per_second < 3 * len(stack.nodes)

    until(rests, "three seconds of rest", timeout_s=40)


def submit_many(stack: Stack, many: int = MANY) -> list[RunHandle]:
    return stack.submit("orders", ({"order": f"order-{number}"} for number in range(many)))


def await_middle(stack: Stack, handles: Sequence[RunHandle]) -> None:
    """Wait until some are done and others are not."""
    ids = _ids(handles)
    until(lambda: sum(each["run"] in ids for each in stack.world.arrivals("announce")) >= 3, "the first three runs")
    going_on = len({row["run_id"] for row in stack.truth.unfinished(handles)})
    print(f"in the middle {going_on} of {len(ids)} runs go on")
    assert going_on


def assert_each_happened_once(stack: Stack, handles: Sequence[RunHandle]) -> None:
    started = time.monotonic()
    assert stack.await_final(handles) == {"done": len(handles)}
    print(f"{len(handles)} runs ended after {time.monotonic() - started:.1f} s")
    ids = _ids(handles)
    for tool in ("price", "charge", "announce"):
        reached = [each["run"] for each in stack.world.arrivals(tool) if each["run"] in ids]
        assert sorted(reached) == sorted(ids), f"calls of {tool!r}"
    assert [stack.truth.entries(handle) for handle in handles] == [1] * len(handles)


def _ids(handles: Sequence[RunHandle]) -> set[str]:
    return {handle.run_id for handle in handles}


def _pushes(stack: Stack) -> int:
    with redis.Redis.from_url(stack.servers.redis_url) as connection:
        return int(connection.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))


def _commits(stack: Stack) -> int:
    # Asked from another database, so that asking does not count.
    query = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"
    with closing(psycopg2.connect(_libpq_url(stack.servers.database_url))) as connection, connection.cursor() as cursor:
        cursor.execute(query, [make_url(stack.truth.url).database])
        return int(cursor.fetchall()[0][0])


def _libpq_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
