"""Breakers: when they open, for how long, who may probe, and whose word still counts."""

from __future__ import annotations

import pytest
import redis

from agentflow.domain.errors import AgentflowError
from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted, Heard, Verdict
from agentflow.gate.redis_gate import RedisGate
from tests.integration.gate_visits import (
    BUSY,
    FAILURE,
    NEUTRAL,
    OK,
    UNUSED,
    bulkhead,
    call,
    enter,
    fragile,
    refused,
    state,
    step,
    trip,
    wait_for_half_open,
    wait_until,
    why,
)

pytest_plugins = ["tests.integration.gate_server"]


def half_open(gate: RedisGate, **breaker: float) -> Admitted:
    """Trip the breaker, wait, and return the probe that is let through."""
    into = fragile(**breaker)
    trip(gate, into)
    wait_for_half_open(gate, into)
    probe = enter(gate, into, 9)
    assert probe.is_probe
    return probe


def test_a_breaker_opens_at_its_threshold_and_says_why(gate: RedisGate) -> None:
    into = fragile(failures=3, open_s=30.0)
    call(gate, into, FAILURE, times=2)
    assert state(gate, into).breaker == "closed"

    call(gate, into, FAILURE)

    denied, seen = refused(gate, into), state(gate, into)
    assert denied.reason is Denial.BREAKER_OPEN
    assert 29 < denied.after_s <= 30
    assert (seen.breaker, seen.failures, seen.reason) == ("open", 3, "3 failures within 60 s")
    assert 29 < seen.open_for_s <= 30


@pytest.mark.parametrize("heard", [OK, NEUTRAL, UNUSED, BUSY], ids=["ok", "4xx", "no call", "429"])
def test_what_is_no_failure_does_not_count(gate: RedisGate, heard: Heard) -> None:
    into = fragile()

    call(gate, into, heard, times=5)

    assert (state(gate, into).breaker, state(gate, into).failures) == ("closed", 0)


def test_failures_outside_the_window_do_not_count(gate: RedisGate) -> None:
    into = fragile(within_s=0.1)
    call(gate, into, FAILURE)
    wait_until(lambda: state(gate, into).failures == 0)

    call(gate, into, FAILURE)

    assert (state(gate, into).breaker, state(gate, into).failures) == ("closed", 1)


def test_an_overload_counts_as_a_failure_and_shrinks_the_limit(gate: RedisGate) -> None:
    into = fragile()

    call(gate, into, Heard(Verdict.FAILURE, throttled=True), times=2)

    assert (state(gate, into).breaker, state(gate, into).slots) == ("open", 1)


def test_an_opening_is_stretched_by_jitter_up_to_a_fifth(gate_url: str, gate_redis: redis.Redis) -> None:
    gate, into = RedisGate(gate_url, draw=lambda: 1.0), fragile(open_s=30.0)

    trip(gate, into)

    assert 35 < state(gate, into).open_for_s <= 36


def test_half_open_lets_one_probe_through_at_a_time(gate: RedisGate) -> None:
    probe = half_open(gate)

    denied = refused(gate, probe.bulkhead, 1)

    assert denied.reason is Denial.BREAKER_OPEN
    assert 0 < denied.after_s <= 5


def test_half_open_lets_as_many_probes_through_as_declared(gate: RedisGate) -> None:
    first = half_open(gate, probes=2)

    assert enter(gate, first.bulkhead, 1).is_probe
    assert why(gate, first.bulkhead, 2) is Denial.BREAKER_OPEN


@pytest.mark.parametrize("heard", [OK, NEUTRAL], ids=["ok", "4xx"])
def test_a_probe_that_is_answered_closes_the_breaker(gate: RedisGate, heard: Heard) -> None:
    probe = half_open(gate)

    gate.leave(probe, heard)

    seen = state(gate, probe.bulkhead)
    assert (seen.breaker, seen.failures, seen.reason) == ("closed", 0, None)
    assert not enter(gate, probe.bulkhead).is_probe


def test_a_probe_that_fails_opens_for_twice_as_long(gate: RedisGate) -> None:
    probe = half_open(gate)

    gate.leave(probe, FAILURE)

    seen = state(gate, probe.bulkhead)
    assert (seen.breaker, seen.reason) == ("open", "a probe failed")
    assert 0.1 < seen.open_for_s <= 0.2


def test_openings_grow_to_ten_minutes_and_no_longer(gate: RedisGate, gate_redis: redis.Redis) -> None:
    probe = half_open(gate)
    gate_redis.hset("agentflow:gate:breaker:{tool.pay}", "openings", 5_000)

    gate.leave(probe, FAILURE)

    assert 599 < state(gate, probe.bulkhead).open_for_s <= 600


def test_after_a_probe_was_answered_openings_are_short_again(gate: RedisGate) -> None:
    probe = half_open(gate)
    gate.leave(probe, FAILURE)
    wait_for_half_open(gate, probe.bulkhead)
    gate.leave(enter(gate, probe.bulkhead), OK)

    trip(gate, probe.bulkhead)

    assert state(gate, probe.bulkhead).open_for_s <= 0.1


@pytest.mark.parametrize("heard", [BUSY, UNUSED], ids=["429", "no call"])
def test_a_probe_that_found_out_nothing_is_given_back(gate: RedisGate, heard: Heard) -> None:
    probe = half_open(gate)

    gate.leave(probe, heard)

    assert state(gate, probe.bulkhead).breaker == "half_open"
    assert enter(gate, probe.bulkhead, 1).is_probe


def test_the_lease_of_a_dead_probe_ends(gate: RedisGate) -> None:
    into = fragile()
    trip(gate, into)
    wait_for_half_open(gate, into)
    enter(gate, into, 1, lease_s=0.1)
    assert why(gate, into, 2) is Denial.BREAKER_OPEN

    wait_until(lambda: isinstance(gate.enter(into, step(2)), Admitted))


def test_the_verdict_of_a_probe_that_was_replaced_counts_for_nothing(gate: RedisGate) -> None:
    into = fragile()
    trip(gate, into)
    wait_for_half_open(gate, into)
    late = enter(gate, into, 1, lease_s=0.1)
    wait_until(lambda: isinstance(gate.enter(into, step(2)), Admitted))

    gate.leave(late, OK)

    assert state(gate, into).breaker == "half_open"


@pytest.mark.parametrize("heard", [OK, FAILURE], ids=["ok", "failure"])
def test_a_call_from_before_the_opening_says_nothing_about_it(gate: RedisGate, heard: Heard) -> None:
    into = fragile()
    late = enter(gate, into, 7)
    trip(gate, into)
    wait_for_half_open(gate, into)

    gate.leave(late, heard)

    assert state(gate, into).breaker == "half_open"


def test_a_failure_from_before_the_opening_does_not_count_after_the_closing(gate: RedisGate) -> None:
    into = fragile()
    late = [enter(gate, into, number) for number in (7, 8)]
    trip(gate, into)
    wait_for_half_open(gate, into)
    gate.leave(enter(gate, into, 9), OK)

    for each in late:
        gate.leave(each, FAILURE)

    assert (state(gate, into).breaker, state(gate, into).failures) == ("closed", 0)


def test_bulkheads_on_one_breaker_open_together(gate: RedisGate) -> None:
    pay, refund = (
        bulkhead(name, on="stripe", breaker=fragile().limits.breaker) for name in ("tool.pay", "tool.refund")
    )

    trip(gate, pay)

    assert why(gate, refund) is Denial.BREAKER_OPEN


def test_bulkheads_on_one_breaker_share_its_probe(gate: RedisGate) -> None:
    pay, refund = (
        bulkhead(name, on="stripe", breaker=fragile().limits.breaker) for name in ("tool.pay", "tool.refund")
    )
    trip(gate, pay)
    wait_for_half_open(gate, pay)
    probe = enter(gate, refund)
    assert why(gate, pay) is Denial.BREAKER_OPEN

    gate.leave(probe, OK)

    assert state(gate, pay).breaker == "closed"


def test_another_breaker_knows_nothing_of_it(gate: RedisGate) -> None:
    trip(gate, fragile())

    assert enter(gate, bulkhead("tool.mail"))


def test_a_breaker_is_held_open_whatever_calls_say(gate: RedisGate) -> None:
    into = fragile()
    running = enter(gate, into)

    gate.hold_open(into.breaker, 600, "out of credits")
    gate.leave(running, OK)

    seen = state(gate, into)
    assert (seen.breaker, seen.reason) == ("open", "out of credits")
    assert 599 < refused(gate, into).after_s <= 600


def test_a_shorter_hold_does_not_end_a_longer_one(gate: RedisGate) -> None:
    into = fragile()
    gate.hold_open(into.breaker, 600, "out of credits")

    gate.hold_open(into.breaker, 1, "a look")

    assert state(gate, into).open_for_s > 599
    assert state(gate, into).reason == "out of credits"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_hold_without_an_end_is_refused(gate: RedisGate, seconds: float) -> None:
    with pytest.raises(AgentflowError, match=r"tool\.pay"):
        gate.hold_open("tool.pay", seconds, "for ever")


def test_an_operator_closes_a_breaker(gate: RedisGate) -> None:
    into = fragile(open_s=600.0)
    trip(gate, into)

    gate.close_breaker(into.breaker)

    assert (state(gate, into).breaker, state(gate, into).failures) == ("closed", 0)
    assert enter(gate, into)
