"""The gate between processes: sixteen at once, forked ones, and those that are killed while they hold something."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
import redis

from agentflow.declare.limits import Breaker
from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted
from agentflow.gate.redis_gate import RedisGate
from tests.integration.gate_fleet import (
    FAILING_PROBES,
    PROBES,
    SIZE,
    call_on_both_sides_of_a_fork,
    fail_until_denied,
    fleet,
    holder,
    probe_until_closed,
)
from tests.integration.gate_visits import (
    bulkhead,
    enter,
    fragile,
    state,
    step,
    trip,
    wait_for_half_open,
    wait_until,
    why,
)

pytest_plugins = ["tests.integration.gate_server"]

GENERATION = ("agentflow:gate:breaker:{tool.pay}", "generation")


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with fleet() as started:
        yield started


def test_sixteen_processes_open_a_breaker_once_and_in_time(
    gate: RedisGate, gate_redis: redis.Redis, gate_url: str, processes: ProcessPoolExecutor
) -> None:
    into = bulkhead(breaker=Breaker(failures=20, open_s=60.0))

    calls = list(processes.map(fail_until_denied, [gate_url] * SIZE, [into] * SIZE))

    # Those that were under way when the twentieth failed: one each of the other fifteen.
    assert 20 <= sum(calls) < 20 + SIZE
    assert gate_redis.hget(*GENERATION) == "1"
    assert state(gate, into).in_use == 0


def test_sixteen_processes_probe_one_at_a_time_until_one_closes_it(
    gate: RedisGate, gate_redis: redis.Redis, gate_url: str, processes: ProcessPoolExecutor
) -> None:
    into = fragile(open_s=0.05)
    trip(gate, into)

    seen = list(processes.map(probe_until_closed, [gate_url] * SIZE, [into] * SIZE))

    under_way = [number for each in seen for number in each]
    assert under_way == [1] * PROBES
    assert sum(1 for each in seen if each) > 1
    assert gate_redis.hget(*GENERATION) == str(1 + FAILING_PROBES + 1)
    assert state(gate, into).breaker == "closed"


def test_both_sides_of_a_fork_have_connections_of_their_own(
    gate: RedisGate, gate_url: str, processes: ProcessPoolExecutor
) -> None:
    into = bulkhead()

    assert processes.submit(call_on_both_sides_of_a_fork, gate_url, into).result(30)
    assert state(gate, into).in_use == 0


def test_a_probe_holder_that_is_killed_is_replaced_after_its_lease(gate: RedisGate, gate_url: str) -> None:
    into = fragile()
    trip(gate, into)
    wait_for_half_open(gate, into)
    with holder(gate_url, into, lease_s=0.5) as kill:
        kill()
        assert why(gate, into, 1) is Denial.BREAKER_OPEN

        wait_until(lambda: isinstance(gate.enter(into, step(2)), Admitted))

    assert why(gate, into, 3) is Denial.BREAKER_OPEN


def test_a_slot_holder_that_is_killed_is_replaced_after_its_lease(gate: RedisGate, gate_url: str) -> None:
    into = bulkhead(slots=1)
    with holder(gate_url, into, lease_s=0.5) as kill:
        kill()
        assert why(gate, into, 1) is Denial.SLOTS_FULL

        wait_until(lambda: gate.capacity([into.name]) == {into.name: 1})

    assert enter(gate, into, 1)
