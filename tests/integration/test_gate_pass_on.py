"""Passing on: a step leaves its bulkhead and the next one enters its own, in one round trip, and no slot is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from agentflow.domain.waiting import Denial
from agentflow.gate.open_gate import OpenGate
from agentflow.gate.protocol import Admitted, Denied, Waiter
from agentflow.gate.redis_gate import RedisGate
from agentflow.local.address import choose_port
from tests.integration.gate_line import Line
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
    wait_until,
)
from tests.integration.test_gate_outages import hung

pytest_plugins = ["tests.integration.gate_server"]

FIRST, SECOND = bulkhead("tool.first", slots=1), bulkhead("tool.second", slots=1)
# The answer of a leave that wakes nobody: an empty list.
LEFT = len(b"*0\r\n")


@pytest.fixture
def line(gate_url: str, gate_redis: redis.Redis) -> Iterator[Line]:
    with Line(gate_url) as line:
        yield line


@pytest.fixture
def beyond(line: Line) -> RedisGate:
    """A gate at the other end of the line."""
    gate = RedisGate(line.url, draw=lambda: 0.0)
    call(gate, FIRST, OK)
    call(gate, SECOND, OK)
    return gate


def in_use(gate: RedisGate) -> tuple[int, int]:
    return state(gate, FIRST).in_use, state(gate, SECOND).in_use


def test_one_bulkhead_is_left_and_the_next_entered(gate: RedisGate) -> None:
    woken, admitted = gate.pass_on(enter(gate, FIRST, 0), OK, SECOND, step(1))

    assert (woken, in_use(gate)) == ([], (0, 1))
    assert isinstance(admitted, Admitted)
    gate.leave(admitted, OK)
    assert in_use(gate) == (0, 0)


def test_it_is_one_round_trip(line: Line, beyond: RedisGate) -> None:
    admitted = enter(beyond, FIRST, 0)
    before = line.asked

    beyond.pass_on(admitted, OK, SECOND, step(1))

    assert line.asked == before + 1


def test_the_one_slot_of_a_bulkhead_goes_to_the_next_step(gate: RedisGate) -> None:
    admitted: Admitted | Denied = enter(gate, FIRST, 0)
    for number in range(1, 4):
        assert isinstance(admitted, Admitted)
        _, admitted = gate.pass_on(admitted, OK, FIRST, step(number))

    assert isinstance(admitted, Admitted)
    assert state(gate, FIRST).in_use == 1


def test_what_became_of_the_call_is_heard(gate: RedisGate) -> None:
    into = fragile()

    gate.pass_on(enter(gate, into, 0), FAILURE, SECOND, step(1))

    assert state(gate, into).failures == 1


def test_the_leave_wakes_who_waited_also_where_the_next_step_is_denied(gate: RedisGate) -> None:
    leaving, _ = enter(gate, FIRST, 0), enter(gate, SECOND, 7)
    refused(gate, FIRST, 5)

    woken, denied = gate.pass_on(leaving, OK, SECOND, step(1))

    assert woken == [Waiter(RUN, 5)]
    assert isinstance(denied, Denied)
    assert denied.reason is Denial.SLOTS_FULL
    assert (in_use(gate), state(gate, SECOND).waiting) == ((0, 1), 1)


def test_the_next_step_that_was_denied_is_woken_in_its_turn(gate: RedisGate) -> None:
    other = enter(gate, SECOND, 7)
    gate.pass_on(enter(gate, FIRST, 0), OK, SECOND, step(1))

    assert gate.leave(other, OK) == [Waiter(RUN, 1)]


@pytest.mark.parametrize("held", [None, Admitted(FIRST, None)], ids=["nothing", "no slot"])
def test_who_holds_nothing_only_enters(gate: RedisGate, held: Admitted | None) -> None:
    woken, admitted = gate.pass_on(held, FAILURE, SECOND, step(1))

    assert isinstance(admitted, Admitted)
    assert (woken, in_use(gate), state(gate, FIRST).failures) == ((), (0, 1), 0)


@pytest.mark.parametrize("known", ["neither", "the way in", "the way out"])
def test_a_flush_of_the_scripts_loses_no_slot(gate: RedisGate, gate_redis: redis.Redis, known: str) -> None:
    leaving = enter(gate, FIRST, 0)
    other = enter(gate, SECOND, 7)
    gate_redis.script_flush()
    if known == "the way in":
        refused(gate, SECOND, 8)
    elif known == "the way out":
        gate.leave(other, OK)

    _, admitted = gate.pass_on(leaving, OK, FIRST, step(1))

    assert isinstance(admitted, Admitted)
    assert state(gate, FIRST).in_use == 1
    gate.leave(admitted, OK)
    assert state(gate, FIRST).in_use == 0


@pytest.mark.parametrize("passing", [None, 0, LEFT, LEFT + 3], ids=["unasked", "unheard", "between", "half heard"])
@pytest.mark.parametrize("into", [FIRST, SECOND], ids=["same", "other"])
def test_a_line_that_breaks_leaks_no_slot(line: Line, beyond: RedisGate, into: object, passing: int | None) -> None:
    following = FIRST if into is FIRST else SECOND
    leaving = enter(beyond, FIRST, 0)
    line.break_at_next(passing)

    _, admitted = beyond.pass_on(leaving, OK, following, step(1))

    assert isinstance(admitted, Admitted)
    assert in_use(beyond) == ((1, 0) if following is FIRST else (0, 1))
    beyond.leave(admitted, OK)
    assert in_use(beyond) == (0, 0)


def test_a_line_that_breaks_behind_an_enter_leaks_no_slot(line: Line, beyond: RedisGate) -> None:
    line.break_at_next(0)

    admitted = enter(beyond, FIRST)

    assert in_use(beyond) == (1, 0)
    beyond.leave(admitted, OK)
    assert in_use(beyond) == (0, 0)


def test_a_slot_whose_answer_was_lost_for_good_goes_back_with_the_next_call(line: Line, beyond: RedisGate) -> None:
    leaving = enter(beyond, FIRST, 0)
    line.break_at_next(0, 0)

    _, denied = beyond.pass_on(leaving, OK, SECOND, step(1))

    assert isinstance(denied, Denied)
    assert denied.reason is Denial.GATE_UNAVAILABLE
    wait_until(lambda: beyond.capacity([SECOND.name]) == {SECOND.name: 1})
    assert in_use(beyond) == (0, 0)


def test_a_slot_that_a_hung_redis_gave_too_late_goes_back(gate: RedisGate, gate_redis: redis.Redis) -> None:
    leaving = enter(gate, FIRST, 0)
    with hung(gate_redis):
        _, denied = gate.pass_on(leaving, OK, SECOND, step(1))
    assert isinstance(denied, Denied)

    wait_until(lambda: isinstance(gate.enter(SECOND, step(2)), Admitted))

    assert in_use(gate) == (0, 1)


@pytest.mark.parametrize("held", [None, Admitted(FIRST, None)], ids=["nothing", "no slot"])
def test_without_redis_the_next_bulkheads_policy_decides(held: Admitted | None) -> None:
    nowhere = RedisGate(f"redis://127.0.0.1:{choose_port()}/0", draw=lambda: 0.0)
    willing = replace(SECOND, limits=replace(SECOND.limits, when_unreachable="open"))

    assert nowhere.pass_on(held, OK, SECOND, step(1)) == ((), Denied(Denial.GATE_UNAVAILABLE, 4))
    assert nowhere.pass_on(held, OK, willing, step(1)) == ((), Admitted(willing, None))


def test_when_redis_goes_the_slot_is_left_to_its_lease_and_the_policy_decides(line: Line, beyond: RedisGate) -> None:
    leaving = enter(beyond, FIRST, 0)
    line.break_at_next(None, None)

    assert beyond.pass_on(leaving, OK, SECOND, step(1)) == ((), Denied(Denial.GATE_UNAVAILABLE, 4))

    wait_until(lambda: beyond.capacity([FIRST.name, SECOND.name]) == {FIRST.name: 0, SECOND.name: 1})


def test_an_open_gate_passes_everybody_on() -> None:
    gate = OpenGate()

    assert gate.pass_on(Admitted(FIRST, None), OK, SECOND, step(1)) == ((), Admitted(SECOND, None))
