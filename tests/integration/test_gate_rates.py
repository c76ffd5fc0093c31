"""Rates, holds and the retry budget: what is let through per time, and when the next may come."""

from __future__ import annotations

import itertools
import time

import pytest
import redis

from agentflow.declare.limits import Rate
from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted, Denied, Heard, Verdict
from agentflow.gate.redis_gate import RedisGate
from tests.integration.gate_visits import (
    BUSY,
    NEUTRAL,
    OK,
    UNUSED,
    bulkhead,
    call,
    enter,
    refused,
    state,
    step,
    wait_until,
    why,
)

pytest_plugins = ["tests.integration.gate_server"]


def asked_to_wait(seconds: float) -> Heard:
    return Heard(Verdict.NEUTRAL, throttled=True, retry_after_s=seconds)


def test_a_rate_lets_its_burst_through_and_says_when_the_next_may_come(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(3, per_s=60),))
    call(gate, into, OK, times=3)

    denied = refused(gate, into)

    assert denied.reason is Denial.RATE_LIMIT
    assert 19 < denied.after_s <= 20


def test_calls_at_a_rate_come_at_its_pace_and_never_before(gate: RedisGate) -> None:
    into, came = bulkhead(rates=(Rate(1, per_s=0.05),)), []

    def come() -> bool:
        answer = gate.enter(into, step())
        if isinstance(answer, Admitted):
            came.append(time.monotonic())
        return len(came) == 6

    wait_until(come)

    between = [later - earlier for earlier, later in itertools.pairwise(came)]
    assert came[-1] - came[0] >= 5 * 0.05 - 0.02
    assert sum(between) / len(between) < 0.1


def test_the_time_that_a_denial_names_is_exact(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(1, per_s=0.2),))
    call(gate, into, OK)
    began = time.monotonic()
    named_s = refused(gate, into).after_s

    wait_until(lambda: isinstance(gate.enter(into, step()), Admitted))

    assert named_s - 0.01 <= time.monotonic() - began <= named_s + 0.1


def test_each_value_of_a_key_has_a_rate_of_its_own(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(1, per_s=60, key="{user_id}"),))
    enter(gate, into, 0, rate_keys=("ann",))

    assert why(gate, into, 1, rate_keys=("ann",)) is Denial.RATE_LIMIT
    assert enter(gate, into, 2, rate_keys=("bob",))


def test_a_value_stands_in_no_key(gate: RedisGate, gate_redis: redis.Redis) -> None:
    enter(gate, bulkhead(rates=(Rate(1, per_s=60, key="{user_id}"),)), rate_keys=("ann@example.com" + "x" * 10_000,))

    assert not any("ann" in key or len(key) > 200 for key in gate_redis.scan_iter())


def test_all_rates_have_to_allow_and_a_denial_takes_from_none(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(2, per_s=60), Rate(1, per_s=600, key="{user_id}")))
    enter(gate, into, 0, rate_keys=(None, "ann"))

    for number in range(5):
        assert 599 < refused(gate, into, number, rate_keys=(None, "ann")).after_s <= 600

    assert enter(gate, into, 1, rate_keys=(None, "bob"))
    assert 29 < refused(gate, into, 2, rate_keys=(None, "eve")).after_s <= 30


def test_a_call_that_was_not_made_costs_no_rate(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(1, per_s=60),))

    call(gate, into, UNUSED, times=5)
    call(gate, into, OK)

    assert why(gate, into) is Denial.RATE_LIMIT


def test_a_call_is_given_back_once(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(2, per_s=60),))
    call(gate, into, OK)
    unused = enter(gate, into)
    for _ in range(3):
        gate.leave(unused, UNUSED)

    call(gate, into, OK)

    assert why(gate, into) is Denial.RATE_LIMIT


def test_no_rate_is_taken_where_there_is_no_slot(gate: RedisGate) -> None:
    into = bulkhead(slots=1, rates=(Rate(2, per_s=60),))
    first = enter(gate, into)
    for number in range(5):
        assert why(gate, into, number) is Denial.SLOTS_FULL

    gate.leave(first, OK)

    assert enter(gate, into)


def test_nobody_is_woken_for_a_rate_before_its_time(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(2, per_s=60),))
    running = [enter(gate, into, number) for number in range(2)]
    refused(gate, into, 5)

    assert gate.leave(running[0], OK) == []
    assert gate.capacity([into.name]) == {into.name: 0}
    assert state(gate, into).waiting == 1


def test_capacity_is_no_more_than_the_rate_allows(gate: RedisGate) -> None:
    into = bulkhead(rates=(Rate(10, per_s=600),))

    call(gate, into, OK, times=4)

    assert gate.capacity([into.name]) == {into.name: 6}


def test_retry_after_holds_everybody_off_until_its_time(gate: RedisGate) -> None:
    into = bulkhead()
    began = time.monotonic()
    gate.leave(enter(gate, into), asked_to_wait(0.3))
    denied = refused(gate, into, 1)
    assert denied.reason is Denial.THROTTLED
    assert 0.2 < denied.after_s <= 0.3

    wait_until(lambda: isinstance(gate.enter(into, step(1)), Admitted))

    assert time.monotonic() - began >= 0.3


def test_nobody_is_woken_while_the_hold_lasts(gate: RedisGate) -> None:
    into = bulkhead(slots=2)
    first, second = enter(gate, into, 0), enter(gate, into, 1)
    refused(gate, into, 5)

    assert gate.leave(first, asked_to_wait(60)) == []
    assert gate.leave(second, OK) == []
    assert gate.capacity([into.name]) == {into.name: 0}


def test_a_herd_is_spread_over_the_time_after_the_hold(gate_url: str, gate_redis: redis.Redis) -> None:
    gate, into = RedisGate(gate_url), bulkhead()
    gate.leave(enter(gate, into), asked_to_wait(60))

    waits = [refused(gate, into, number).after_s for number in range(50)]

    assert all(59.9 < wait_s <= 61 for wait_s in waits)
    assert max(waits) - min(waits) > 0.3


def test_a_shorter_retry_after_does_not_end_a_longer_one(gate: RedisGate) -> None:
    into = bulkhead()
    first, second = enter(gate, into, 0), enter(gate, into, 1)

    gate.leave(first, asked_to_wait(100))
    gate.leave(second, asked_to_wait(1))

    assert state(gate, into).throttled_for_s > 99


@pytest.mark.parametrize("seconds", [float("inf"), 31_536_000.0])
def test_a_retry_after_of_a_year_holds_for_an_hour(gate: RedisGate, seconds: float) -> None:
    into = bulkhead()

    gate.leave(enter(gate, into), asked_to_wait(seconds))

    assert 3_599 < state(gate, into).throttled_for_s <= 3_600


@pytest.mark.parametrize("seconds", [float("nan"), float("-inf"), -5.0, 0.0])
def test_a_retry_after_that_is_no_time_holds_nobody(gate: RedisGate, seconds: float) -> None:
    into = bulkhead()

    gate.leave(enter(gate, into), asked_to_wait(seconds))

    assert state(gate, into).throttled_for_s == 0
    assert enter(gate, into)


def test_a_429_without_a_time_cuts_the_limit_alone(gate: RedisGate) -> None:
    into = bulkhead(slots=4)

    gate.leave(enter(gate, into), BUSY)

    assert (state(gate, into).throttled_for_s, state(gate, into).slots) == (0, 1)


def test_a_retry_after_is_heard_from_a_slot_that_was_forgotten(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = bulkhead()
    running = enter(gate, into)
    gate_redis.flushall()

    gate.leave(running, asked_to_wait(60))

    assert why(gate, into) is Denial.THROTTLED


def test_retries_are_bounded_by_the_floor_and_a_share_of_the_calls(gate: RedisGate) -> None:
    into = bulkhead(retry_share=0.5, retry_floor=1)
    call(gate, into, OK, times=8)
    answers = [gate.enter(into, step(number, is_retry=True)) for number in range(20)]

    admitted = [answer for answer in answers if isinstance(answer, Admitted)]
    denied = [answer for answer in answers if isinstance(answer, Denied)]

    # Of 8 calls and n retries, n may be at most (8 + n - 1) / 2 + 1.
    assert len(admitted) == 9
    assert {answer.reason for answer in denied} == {Denial.RETRY_BUDGET}
    assert isinstance(gate.enter(into, step(30)), Admitted)


def test_a_retry_that_was_not_made_does_not_count(gate: RedisGate) -> None:
    into = bulkhead(retry_share=0.0, retry_floor=1)
    for _ in range(5):
        gate.leave(enter(gate, into, is_retry=True), UNUSED)

    gate.leave(enter(gate, into, is_retry=True), NEUTRAL)

    assert why(gate, into, is_retry=True) is Denial.RETRY_BUDGET


def test_the_retries_of_two_minutes_ago_are_forgotten(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = bulkhead(retry_share=0.0, retry_floor=1)
    call(gate, into, OK)
    enter(gate, into, is_retry=True)
    assert why(gate, into, is_retry=True) is Denial.RETRY_BUDGET

    gate_redis.hincrby("agentflow:gate:standing:{tool.pay}", "minute", -2)

    assert enter(gate, into, is_retry=True)


def test_nobody_is_woken_for_the_retry_budget_before_its_time(gate: RedisGate) -> None:
    into = bulkhead(retry_share=0.0, retry_floor=0)
    running = enter(gate, into)
    assert why(gate, into, 5, is_retry=True) is Denial.RETRY_BUDGET

    assert gate.leave(running, OK) == []
    assert state(gate, into).waiting == 1


def test_the_retry_budget_of_one_tool_is_not_anothers(gate: RedisGate) -> None:
    pay, mail = (bulkhead(name, retry_share=0.0, retry_floor=1) for name in ("tool.pay", "tool.mail"))
    enter(gate, pay, is_retry=True)
    assert why(gate, pay, is_retry=True) is Denial.RETRY_BUDGET

    assert enter(gate, mail, is_retry=True)
