"""Connections to Redis: kept, one per thread that asks at the same moment, never shared over a fork, lost and found."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as AnswerMissing

from agentflow.broker.hints import BrokerHints
from agentflow.domain.hint import advance_hint
from agentflow.local import attach
from agentflow.redis_link import RedisLink
from tests.integration.workers.servers import Servers
from tests.integration.workers.waiting import until


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with attach(tmp_path_factory.mktemp("valkey"), postgres=False) as services:
        yield services.redis_url


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def link(redis_url: str) -> Iterator[RedisLink]:
    asked = RedisLink(redis_url, timeout_s=2.0, decode_responses=True)
    yield asked
    asked.close()


def test_answers_come_in_the_order_of_their_commands(link: RedisLink, server: redis.Redis) -> None:
    assert link.ask_all([["SET", "a", 1], ["INCR", "a"], ["GET", "a"]]) == ["OK", 2, "2"]


def test_an_answer_that_is_an_error_leaves_none_behind_for_the_next_call(link: RedisLink, server: redis.Redis) -> None:
    with pytest.raises(ResponseError):
        link.ask_all([["SET", "a", "word"], ["INCR", "a"], ["GET", "a"]])

    assert link.ask("ECHO", "next") == "next"


def test_one_connection_is_kept_for_calls_one_after_another(link: RedisLink, server: redis.Redis) -> None:
    assert len({link.ask("CLIENT", "ID") for _ in range(5)}) == 1


def test_a_link_that_loses_many_connections_goes_on(link: RedisLink, server: redis.Redis) -> None:
    lost = [link.ask("CLIENT", "ID")]
    for _ in range(150):
        server.client_kill_filter(_id=lost[-1])
        lost.append(link.ask("CLIENT", "ID"))

    assert len(set(lost)) == 151


def test_threads_do_not_wait_for_each_other(link: RedisLink, server: redis.Redis) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(link.ask, "BRPOP", "list", 1.5)
        until(lambda: server.info("clients")["blocked_clients"], "the wait")
        assert pool.submit(link.ask, "LPUSH", "list", "from the other").result(10) == 1

        assert waiting.result(10) == ["list", "from the other"]


def test_a_child_makes_a_connection_of_its_own_and_leaves_its_parents_alone(
    link: RedisLink, server: redis.Redis
) -> None:
    before = link.ask("CLIENT", "ID")
    child = os.fork()
    if child == 0:
        own = link.ask("CLIENT", "ID")
        os._exit(0 if own != before and own == link.ask("CLIENT", "ID") else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert link.ask("CLIENT", "ID") == before


def test_a_connection_that_was_closed_meanwhile_is_made_anew(link: RedisLink, server: redis.Redis) -> None:
    before = link.ask("CLIENT", "ID")
    server.client_kill_filter(_id=before)

    assert link.ask("ECHO", "again") == "again"
    assert link.ask("CLIENT", "ID") != before


def test_a_server_that_hangs_is_asked_once_for_no_longer_than_was_said(redis_url: str, server: redis.Redis) -> None:
    link = RedisLink(redis_url, timeout_s=0.1)
    link.ask("PING")
    pid = server.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(AnswerMissing):
            link.ask("LPUSH", "list", "once")
    finally:
        os.kill(pid, signal.SIGCONT)

    # The commands that were sent are done by now: Redis takes them in the order they came.
    assert server.llen("list") <= 1


@pytest.mark.parametrize("number", [0, 3], ids=["default", "numbered"])
def test_password_and_database_of_the_url_are_used(redis_url: str, server: redis.Redis, number: int) -> None:
    before = server.config_get("requirepass")["requirepass"]
    server.config_set("requirepass", "p@ss/word")
    try:
        address = redis_url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        url = f"redis://:p%40ss%2Fword@{address}/{number}"
        assert BrokerHints(url).publish([advance_hint("r", "coordinator")])
        with redis.Redis.from_url(url) as there:
            assert there.llen("coordinator") == 1
        assert RedisLink(url, timeout_s=1.0).database == number
    finally:
        server.config_set("requirepass", before)


def test_a_socket_is_written_as_celery_writes_it(tmp_path: Path) -> None:
    link = RedisLink(f"redis+socket://{tmp_path}/redis.sock?virtual_host=3", timeout_s=0.1)

    assert link.database == 3
    with pytest.raises(redis.ConnectionError, match=r"redis\.sock"):
        link.ask("PING")


def test_hints_go_out_again_a_second_after_the_broker_came_back(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        hints = BrokerHints(servers.redis_url)
        assert hints.publish([advance_hint("r", "coordinator")])
        servers.take_redis_down()
        assert not hints.publish([advance_hint("r", "coordinator")])
        servers.bring_redis_back()

        until(lambda: hints.publish([advance_hint("r", "coordinator")]), "a hint that goes out")


def test_after_a_failure_nobody_is_kept_waiting_by_the_next_try(redis_url: str, server: redis.Redis) -> None:
    hints = BrokerHints(redis_url)
    assert hints.publish([advance_hint("r", "coordinator")])
    pid = server.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not hints.publish([advance_hint("r", "coordinator")])
        silent = threading.Thread(target=hints.publish, args=([advance_hint("r", "coordinator")],))
        silent.start()
        silent.join(0.5)
        assert not silent.is_alive()
    finally:
        os.kill(pid, signal.SIGCONT)
