"""Hints over a real Valkey: where they go, what is seen of a queue, what a broker that is gone does to publishing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from agentflow.broker.hints import BrokerHints
from agentflow.domain.hint import Hint, advance_hint, relay_hint
from agentflow.local import attach
from agentflow.local.address import choose_port

RUN, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


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
def hints(redis_url: str) -> Iterator[BrokerHints]:
    published = BrokerHints(redis_url)
    yield published
    published.close()


def test_the_oldest_hint_of_a_queue_is_seen_and_stays_there(server: redis.Redis, hints: BrokerHints) -> None:
    assert hints.oldest("tool.x") is None

    assert hints.publish([Hint("step.x", "tool.x", RUN, 3), Hint("step.x", "tool.x", OTHER, 4)])

    assert hints.oldest("tool.x") == (RUN, 3)
    assert server.llen("tool.x") == 2


def test_a_hint_for_a_decision_names_no_step(server: redis.Redis, hints: BrokerHints) -> None:
    hints.publish([advance_hint(RUN, "coordinator")])

    assert hints.oldest("coordinator") == (RUN, None)
    assert server.llen("coordinator") == 1


def test_a_hint_for_a_relay_names_nothing_but_its_kind_and_is_no_hint_of_a_step(
    server: redis.Redis, hints: BrokerHints
) -> None:
    assert hints.publish([relay_hint("email")])

    assert server.llen("outbox.email") == 1
    assert RUN.encode() not in server.lindex("outbox.email", 0)
    with pytest.raises(LookupError):
        hints.oldest("outbox.email")


def test_a_kept_connection_publishes_after_everything_was_flushed(server: redis.Redis, hints: BrokerHints) -> None:
    hints.publish([advance_hint(RUN, "coordinator")])
    server.flushall()

    assert hints.publish([advance_hint(OTHER, "coordinator")])

    assert hints.oldest("coordinator") == (OTHER, None)


@pytest.mark.parametrize(
    "element",
    [b"no json", b'{"body": "!"}', b"[]", b'{"body": "W1tdLHt9LHt9XQ=="}'],
    ids=["not json", "not base64", "no message", "a message without a run"],
)
def test_what_is_no_hint_is_told_from_a_broker_that_is_gone(
    server: redis.Redis, hints: BrokerHints, element: bytes
) -> None:
    server.lpush("tool.x", element)

    with pytest.raises(LookupError, match="no hint"):
        hints.oldest("tool.x")


def test_a_broker_that_is_gone_costs_a_hint_and_raises_nothing() -> None:
    hints = BrokerHints(f"redis://127.0.0.1:{choose_port()}/0")

    assert not hints.publish([advance_hint(RUN, "coordinator")])
    with pytest.raises(OSError, match="does not answer"):
        hints.oldest("coordinator")
