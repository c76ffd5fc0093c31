"""Slots: how many at once, whose lease ended, how the limit shrinks and grows, and who is woken for the room."""

from __future__ import annotations

import time

import pytest
import redis

from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted, Held, Waiter
from agentflow.gate.redis_gate import RedisGate
from tests.integration.gate_visits import (
    BUSY,
    FAILURE,
    OK,
    RUN,
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

WAITERS = "agentflow:gate:waiters:{tool.pay}"


def test_no_more_than_the_slots_are_let_in(gate: RedisGate) -> None:
    into = bulkhead(slots=2)
    first, _ = enter(gate, into, 0), enter(gate, into, 1)

    denied = refused(gate, into, 2)
    assert denied.reason is Denial.SLOTS_FULL
    assert 4 <= denied.after_s <= 6
    gate.leave(first, OK)

    assert enter(gate, into, 2)


def test_the_wait_for_a_slot_is_spread(gate_url: str, gate_redis: redis.Redis) -> None:
    into, draws = bulkhead(slots=1), iter([0.0, 0.0, 0.5, 1.0])
    gate = RedisGate(gate_url, draw=lambda: next(draws))
    enter(gate, into)

    assert [refused(gate, into, number).after_s for number in range(3)] == [4, 5, 6]


def test_one_worker_holds_no_more_than_its_share(gate: RedisGate) -> None:
    into = bulkhead(slots=3)
    enter(gate, into, 0, holder="one", pool_slots=1)

    assert why(gate, into, 1, holder="one", pool_slots=1) is Denial.POOL_FULL
    assert enter(gate, into, 2, holder="other", pool_slots=1)


def test_a_slot_is_free_again_when_its_lease_ends(gate: RedisGate) -> None:
    into = bulkhead(slots=1)
    enter(gate, into, 0, lease_s=0.1)
    assert why(gate, into, 1) is Denial.SLOTS_FULL

    wait_until(lambda: isinstance(gate.enter(into, step(1)), Admitted))


def test_leaving_twice_frees_one_slot_and_is_heard_once(gate: RedisGate) -> None:
    into = fragile()
    gone, _ = enter(gate, into, 0), enter(gate, into, 1)

    gate.leave(gone, FAILURE)
    gate.leave(gone, FAILURE)

    assert (state(gate, into).in_use, state(gate, into).failures) == (1, 1)


def test_a_slot_that_was_taken_back_says_nothing_more(gate: RedisGate) -> None:
    into = fragile()
    lost = enter(gate, into, 0)
    gate.evict(into.name, RUN, 0)

    gate.leave(lost, FAILURE)

    assert state(gate, into).failures == 0


def test_a_step_that_comes_twice_holds_two_slots(gate: RedisGate) -> None:
    into = bulkhead(slots=2)

    first, _ = enter(gate, into), enter(gate, into)
    gate.leave(first, UNUSED)

    assert state(gate, into).in_use == 1


def test_the_slot_of_a_lost_attempt_is_taken_back(gate: RedisGate) -> None:
    into = bulkhead(slots=3)
    enter(gate, into, 1, holder="dead")
    enter(gate, into, 11, holder="dead")

    gate.evict(into.name, RUN, 1)

    assert state(gate, into).in_use == 1


def test_one_holders_slots_are_listed_and_one_of_them_is_taken_back_alone(gate: RedisGate) -> None:
    into, other = bulkhead(slots=3), bulkhead("tool.look", slots=3)
    for number, holder in ((1, "dead"), (1, "alive"), (11, "dead")):
        enter(gate, into, number, holder=holder)
    enter(gate, other, 2, holder="dead")
    left = {Held(into.name, RUN, 11), Held(other.name, RUN, 2)}
    assert set(gate.held([into.name, other.name], "dead")) == {Held(into.name, RUN, 1), *left}

    gate.evict(into.name, RUN, 1, "dead")

    assert set(gate.held([into.name, other.name], "dead")) == left
    assert gate.held([into.name], "alive") == [Held(into.name, RUN, 1)]


def test_the_probe_of_a_lost_attempt_is_taken_back(gate: RedisGate) -> None:
    into = fragile()
    trip(gate, into)
    wait_for_half_open(gate, into)
    enter(gate, into, 1)

    gate.evict(into.name, RUN, 1)

    assert enter(gate, into, 2).is_probe


def test_a_429_halves_the_limit_to_half_of_what_was_in_use(gate: RedisGate) -> None:
    into = bulkhead(slots=64)
    running = [enter(gate, into, number) for number in range(8)]

    gate.leave(running[0], BUSY)

    assert state(gate, into).slots == 4
    assert why(gate, into, 9) is Denial.SLOTS_FULL


def test_a_burst_of_429_cuts_the_limit_once(gate: RedisGate) -> None:
    into = bulkhead(slots=64)

    for running in [enter(gate, into, number) for number in range(8)]:
        gate.leave(running, BUSY)

    assert state(gate, into).slots == 4


def test_the_limit_is_cut_again_a_second_later_and_never_below_one(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into, limits = bulkhead(slots=64), []

    for running in [enter(gate, into, number) for number in range(6)]:
        gate.leave(running, BUSY)
        limits.append(state(gate, into).slots)
        gate_redis.hincrbyfloat("agentflow:gate:standing:{tool.pay}", "cut_at", -1)

    assert limits == [3, 1, 1, 1, 1, 1]
    assert enter(gate, into)


def test_the_limit_grows_back_with_success_and_stops_at_the_slots(gate: RedisGate) -> None:
    into = bulkhead(slots=4)
    running = [enter(gate, into, number) for number in range(4)]
    gate.leave(running[0], BUSY)
    assert state(gate, into).slots == 2

    for left in running[1:]:
        gate.leave(left, OK)
    assert state(gate, into).slots == 3
    call(gate, into, OK, times=20)

    assert state(gate, into).slots == 4


def test_failures_do_not_let_the_limit_grow(gate: RedisGate) -> None:
    into = bulkhead(slots=4)
    running = [enter(gate, into, number) for number in range(4)]
    gate.leave(running[0], BUSY)

    for left in running[1:]:
        gate.leave(left, FAILURE)

    assert state(gate, into).slots == 2


def test_a_leave_wakes_who_waited_longest_and_nobody_twice(gate: RedisGate) -> None:
    into = bulkhead(slots=1)
    running = enter(gate, into, 0)
    for number in (5, 6):
        refused(gate, into, number)

    assert gate.leave(running, OK) == [Waiter(RUN, 5)]
    assert gate.leave(enter(gate, into, 5), OK) == [Waiter(RUN, 6)]
    assert gate.leave(enter(gate, into, 6), OK) == []


def test_a_waiter_that_asks_again_keeps_its_place(gate: RedisGate) -> None:
    into = bulkhead(slots=1)
    running = enter(gate, into, 0)
    for number in (5, 6, 5):
        refused(gate, into, number)

    assert gate.leave(running, OK) == [Waiter(RUN, 5)]


def test_no_more_are_woken_than_there_is_room_for(gate: RedisGate) -> None:
    into = bulkhead(slots=2)
    running = [enter(gate, into, number) for number in (0, 1)]
    for number in range(5, 10):
        refused(gate, into, number)

    woken = [*gate.leave(running[0], OK), *gate.leave(running[1], OK)]

    assert woken == [Waiter(RUN, 5), Waiter(RUN, 6)]


def test_a_woken_step_that_never_comes_gives_its_place_up(gate: RedisGate) -> None:
    into = bulkhead(slots=1)
    running = enter(gate, into, 0)
    refused(gate, into, 5)

    gate.leave(running, OK)
    assert gate.capacity([into.name]) == {into.name: 0}

    wait_until(lambda: gate.capacity([into.name]) == {into.name: 1})


def test_a_leave_wakes_eight_at_most(gate: RedisGate) -> None:
    into = bulkhead(slots=20)
    running = [enter(gate, into, number) for number in range(20)]
    for number in range(100, 130):
        refused(gate, into, number)
    for left in running[1:]:
        gate.evict(into.name, RUN, int(str(left.slot).split(":")[2]))

    assert len(gate.leave(running[0], OK)) == 8


def test_nobody_is_woken_into_an_open_breaker_and_one_into_a_half_open_one(gate: RedisGate) -> None:
    into = fragile()
    late = enter(gate, into, 50)
    trip(gate, into)
    for number in range(5):
        refused(gate, into, number)
    assert gate.leave(late, OK) == []
    assert gate.capacity([into.name]) == {into.name: 0}

    wait_for_half_open(gate, into)

    assert gate.capacity([into.name]) == {into.name: 1}
    assert len(gate.leave(enter(gate, into, 99), UNUSED)) == 1


def test_the_probe_that_closes_the_breaker_wakes_a_batch(gate: RedisGate) -> None:
    into = fragile()
    trip(gate, into)
    for number in range(20):
        refused(gate, into, number)
    wait_for_half_open(gate, into)

    assert len(gate.leave(enter(gate, into, 99), OK)) == 8


def test_an_admitted_step_waits_no_more(gate: RedisGate) -> None:
    into = bulkhead(slots=1)
    first = enter(gate, into, 0)
    refused(gate, into, 1)
    assert state(gate, into).waiting == 1
    gate.evict(into.name, RUN, 0)
    second = enter(gate, into, 1)

    assert state(gate, into).waiting == 0
    assert gate.leave(first, OK) == []
    assert gate.leave(second, OK) == []


def test_the_waiters_are_bounded(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = bulkhead(slots=1)
    enter(gate, into)
    now = time.time()
    gate_redis.zadd(WAITERS, {f"{RUN}:{number}": now for number in range(100, 10_100)})

    refused(gate, into, 1)

    assert gate_redis.zcard(WAITERS) == 10_000


def test_who_waited_for_an_hour_is_forgotten(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = bulkhead(slots=1)
    enter(gate, into)
    gate_redis.zadd(WAITERS, {f"{RUN}:{number}": time.time() - 3_601 for number in range(100, 110)})

    refused(gate, into, 1)

    assert state(gate, into).waiting == 1


def test_capacity_is_what_is_free(gate: RedisGate) -> None:
    into = bulkhead(slots=5)
    enter(gate, into, 0)
    enter(gate, into, 1)

    assert gate.capacity([into.name, "tool.unknown"]) == {into.name: 3, "tool.unknown": 16}
    assert gate.capacity([]) == {}


def test_what_was_never_entered_has_no_limits_to_show(gate: RedisGate) -> None:
    seen = state(gate, bulkhead())

    assert (seen.breaker, seen.in_use, seen.slots, seen.waiting, seen.reason) == ("closed", 0, 0, 0, None)
    assert gate.states({}) == ()


@pytest.mark.parametrize("slots", [2, 100], ids=["fewer", "more"])
def test_a_new_declaration_of_the_slots_counts_at_once(gate: RedisGate, slots: int) -> None:
    enter(gate, bulkhead(slots=10), 0)

    enter(gate, bulkhead(slots=slots), 1)

    assert state(gate, bulkhead()).slots == slots


def test_every_key_ends_by_itself(gate: RedisGate, gate_redis: redis.Redis) -> None:
    into = fragile()
    trip(gate, into)
    refused(gate, into)
    wait_for_half_open(gate, into)
    probe = enter(gate, into)
    refused(gate, into, 5)
    assert gate.leave(probe, BUSY)
    enter(gate, into, 8)

    found = {key.split(":")[2] for key in gate_redis.scan_iter()}

    assert found == {"standing", "slots", "woken", "breaker", "failures", "probes"}
    assert all(0 < gate_redis.ttl(key) <= 3 * 86_400 for key in gate_redis.scan_iter())
