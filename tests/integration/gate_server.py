"""Owns the fixtures of the gate's tests: a Valkey for each module, emptied for each test, and a gate on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from agentflow.gate.redis_gate import RedisGate
from agentflow.local import attach


@pytest.fixture(scope="module")
def gate_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with attach(tmp_path_factory.mktemp("valkey"), postgres=False) as services:
        yield services.redis_url


@pytest.fixture
def gate_redis(gate_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(gate_url, decode_responses=True) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def gate(gate_url: str, gate_redis: redis.Redis) -> RedisGate:
    """A gate that draws no jitter."""
    return RedisGate(gate_url, draw=lambda: 0.0)
