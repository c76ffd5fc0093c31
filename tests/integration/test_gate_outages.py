"""The gate when Redis forgets, restarts, hangs, is full or is gone: what is asked of it never takes long."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted, Heard, Verdict
from agentflow.gate.redis_gate import RedisGate
from agentflow.local.address import choose_port
from tests.integration.gate_visits import (
    FAILURE,
    OK,
    RUN,
    bulkhead,
    call,
    enter,
    fragile,
    refused,
    state,
    step,
    trip,
    wait_until,
    why,
)

pytest_plugins = ["tests.integration.gate_server"]

OPEN, CLOSED = bulkhead(when_unreachable="open"), bulkhead(when_unreachable="closed")


@pytest.fixture
def nowhere() -> RedisGate:
    return RedisGate(f"redis://127.0.0.1:{choose_port()}/0", draw=lambda: 0.0)


@contextmanager
def hung(server: redis.Redis) -> Iterator[None]:
    pid = server.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def seconds_of(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_without_redis_calls_wait_where_the_policy_is_closed(nowhere: RedisGate) -> None:
    denied = refused(nowhere, CLOSED)

    assert denied.reason is Denial.GATE_UNAVAILABLE
    assert denied.after_s == 4


def test_the_wait_for_redis_is_spread() -> None:
    draws = iter([0.0, 0.5, 1.0])
    gate = RedisGate(f"redis://127.0.0.1:{choose_port()}/0", draw=lambda: next(draws))

    assert [refused(gate, CLOSED).after_s for _ in range(3)] == pytest.approx([4, 5, 6])


def test_without_redis_calls_go_on_where_the_policy_is_open(nowhere: RedisGate) -> None:
    admitted = enter(nowhere, OPEN)

    assert admitted.slot is None
    assert nowhere.leave(admitted, OK) == ()


def test_without_redis_runs_are_woken_and_nothing_is_lost(nowhere: RedisGate) -> None:
    assert nowhere.capacity(["tool.pay", "tool.mail"]) == {"tool.pay": 16, "tool.mail": 16}
    nowhere.evict("tool.pay", RUN, 0)


def test_without_redis_an_operator_hears_of_it(nowhere: RedisGate) -> None:
    with pytest.raises(OSError, match="out of reach"):
        nowhere.states({"tool.pay": "tool.pay"})
    with pytest.raises(OSError, match="out of reach"):
        nowhere.close_breaker("tool.pay")
    with pytest.raises(OSError, match="out of reach"):
        nowhere.hold_open("tool.pay", 60, "out of credits")


def test_a_slot_that_was_given_before_the_outage_is_left_to_its_lease(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = bulkhead(slots=1)
    running = enter(gate, into, lease_s=0.5)
    with hung(gate_redis):
        assert gate.leave(running, OK) == ()

    wait_until(lambda: isinstance(gate.enter(into, step(1)), Admitted))


def test_a_hung_redis_costs_a_moment_once_a_second(gate: RedisGate, gate_redis: redis.Redis) -> None:
    call(gate, CLOSED, OK)
    with hung(gate_redis):
        assert seconds_of(lambda: why(gate, CLOSED)) < 0.6
        assert seconds_of(lambda: [why(gate, CLOSED) for _ in range(100)]) < 0.1

    wait_until(lambda: isinstance(gate.enter(CLOSED, step()), Admitted))


def test_a_redis_that_hangs_from_the_start_costs_a_moment(gate_url: str, gate_redis: redis.Redis) -> None:
    fresh = RedisGate(gate_url)
    with hung(gate_redis):
        assert seconds_of(lambda: refused(fresh, CLOSED)) < 0.75


def test_a_thread_asks_again_after_a_second(gate: RedisGate, gate_redis: redis.Redis) -> None:
    with hung(gate_redis):
        why(gate, CLOSED)
    answers: list[object] = []

    def ask() -> None:
        wait_until(lambda: isinstance(gate.enter(CLOSED, step()), Admitted))
        answers.append(gate.enter(CLOSED, step()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [isinstance(answer, Admitted) for answer in answers] == [True] * 4


def test_a_restarted_redis_is_found_again_without_a_denial(gate: RedisGate, gate_redis: redis.Redis) -> None:
    call(gate, CLOSED, OK)
    before = gate_redis.info("server")["process_id"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: answers(gate_redis) and gate_redis.info("server")["process_id"] != before)

    assert enter(gate, CLOSED)


def answers(server: redis.Redis) -> bool:
    try:
        return bool(server.ping())
    except redis.RedisError:
        return False


def test_a_flush_at_any_moment_only_forgets(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = fragile(open_s=600.0)
    before = [enter(gate, into, number) for number in range(3)]
    trip(gate, into)

    gate_redis.flushall()

    assert gate.capacity([into.name]) == {into.name: 16}
    for late in before:
        assert gate.leave(late, FAILURE) == []
    assert (state(gate, into).breaker, state(gate, into).failures, state(gate, into).in_use) == ("closed", 0, 0)
    trip(gate, into)


def test_a_flush_of_the_scripts_is_not_noticed(gate: RedisGate, gate_redis: redis.Redis) -> None:
    running = enter(gate, CLOSED)
    gate_redis.script_flush()
    assert gate.leave(running, OK) == []

    gate_redis.script_flush()
    assert gate.capacity([CLOSED.name]) == {CLOSED.name: 64}

    gate_redis.script_flush()
    assert enter(gate, CLOSED)


def test_a_full_redis_still_lets_in_and_takes_back(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = bulkhead(slots=1)
    first = enter(gate, into)
    gate_redis.config_set("maxmemory", 1)
    try:
        gate.leave(first, Heard(Verdict.NEUTRAL, throttled=True, retry_after_s=0.05))
        wait_until(lambda: isinstance(gate.enter(into, step(1)), Admitted))
        assert why(gate, into, 2) is Denial.SLOTS_FULL
    finally:
        gate_redis.config_set("maxmemory", 0)


def test_a_socket_is_found_as_celery_writes_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("socket") / "redis.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        gate = RedisGate(f"redis+socket://{path}?virtual_host=3", timeout_s=0.05)
        assert why(gate, CLOSED) is Denial.GATE_UNAVAILABLE
        caller, _ = listening.accept()
        with caller:
            assert b"SELECT" in caller.recv(1_000)
