"""Servers that are full or hung, clocks that are wrong, messages that are none: all runs end, nothing happens twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import redis

from agentflow.client.handle import RunHandle
from agentflow.local import status
from tests.integration.workers.servers import Servers
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

# One worker's clock is ten minutes ahead of the database's, the other's ten behind.
WORKERS = (
    WorkerPlan("default", ("shop", "ahead")),
    WorkerPlan("default", ("shop", "behind")),
    WorkerPlan("models", ("shop", "ahead")),
)
MANY = 25
# Longer than a statement is waited for; shorter than an outcome is.
FULL_FOR_S = 6.0
HUNG_FOR_S = 8.0

_REFUSE = """
    create function public.refuse_rows() returns trigger language plpgsql as $$
    begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$
"""
# One transaction each: the workers lock these tables in an order of their own.
_FILL = "create trigger disk_is_full before insert or update on agentflow.{} execute function public.refuse_rows()"
_EMPTY = "drop function public.refuse_rows() cascade"


@pytest.fixture
def handles(stack: Stack) -> list[RunHandle]:
    """Runs of which some are done and others are not."""
    submitted = stack.submit("orders", ({"order": f"order-{number}"} for number in range(MANY)))
    ids = {handle.run_id for handle in submitted}
    until(lambda: sum(each["run"] in ids for each in stack.world.arrivals("announce")) >= 3, "the first three runs")
    return submitted


def test_a_disk_that_is_full_for_a_while_loses_nothing(stack: Stack, handles: list[RunHandle]) -> None:
    stack.truth.rows(_REFUSE)
    try:
        for table in ("agent_steps", "attempts"):
            stack.truth.rows(_FILL.format(table))
        wait(FULL_FOR_S)
        waiting = stack.truth.unfinished(handles)
    finally:
        stack.truth.rows(_EMPTY)

    assert waiting, "nothing can be recorded on a full disk"
    assert_each_happened_once(stack, handles)
    assert not any("order-" in node.logs() for node in stack.nodes), "an error holds what a customer said"


def test_a_redis_without_memory_loses_nothing(stack: Stack, handles: list[RunHandle]) -> None:
    with redis.Redis.from_url(stack.servers.redis_url) as connection:
        connection.config_set("maxmemory", 1)
        try:
            late = stack.submit("orders", ({"order": f"late-{number}"} for number in range(5)))
            wait(FULL_FOR_S)
        finally:
            connection.config_set("maxmemory", 0)

    assert_each_happened_once(stack, [*handles, *late])
    assert all(node.is_running for node in stack.nodes)


def test_a_redis_that_hangs_loses_nothing_and_submissions_are_accepted(stack: Stack, handles: list[RunHandle]) -> None:
    with hung_redis(stack.servers):
        late = stack.submit("orders", ({"order": f"late-{number}"} for number in range(2)))
        wait(HUNG_FOR_S)

    assert_each_happened_once(stack, [*handles, *late])
    assert all(node.is_running for node in stack.nodes)


def test_a_message_that_is_none_stops_nobody(stack: Stack, handles: list[RunHandle]) -> None:
    with redis.Redis.from_url(stack.servers.redis_url) as connection:
        for queue in ("coordinator", "tool.price", "tool.announce"):
            connection.lpush(queue, "this is no JSON")

    until(lambda: not stack.truth.unfinished(handles) or stack.revive(), "the end of the runs", timeout_s=60)
    assert_each_happened_once(stack, handles)


def wait(seconds: float) -> None:
    """Let a fault last: it is its length that is looked at."""
    signal.sigtimedwait([], seconds)


@contextmanager
def hung_redis(servers: Servers) -> Iterator[None]:
    """A Redis that takes connections, and answers nothing."""
    running = status(servers._folder)
    assert running is not None
    assert running.valkey is not None
    os.kill(running.valkey.server_pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(running.valkey.server_pid, signal.SIGCONT)


def assert_each_happened_once(stack: Stack, handles: Sequence[RunHandle]) -> None:
    assert stack.await_final(handles) == {"done": len(handles)}
    ids = sorted(handle.run_id for handle in handles)
    for tool in ("price", "charge", "announce"):
        assert sorted(each["run"] for each in stack.world.arrivals(tool) if each["run"] in ids) == ids, tool
    assert [stack.truth.entries(handle) for handle in handles] == [1] * len(handles)
