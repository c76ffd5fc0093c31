"""The plan: each kind of fault in each storm, calm around the lonely kills, and nothing but the seed decides."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.monkey import ACTS
from tests.chaos.plan import KILL_ALONE, KINDS, LASTS_S, RECOVERS_S, draw_plan

QUARTER_OF_AN_HOUR_S = 900.0


def test_the_seed_alone_decides() -> None:
    assert draw_plan(7, 90) == draw_plan(7, 90)
    assert draw_plan(7, 90) != draw_plan(8, 90)


@pytest.mark.parametrize("duration_s", [60.0, 90.0, QUARTER_OF_AN_HOUR_S])
def test_every_kind_of_fault_is_in_it(duration_s: float) -> None:
    assert {act.kind for act in draw_plan(1, duration_s)} == set(KINDS)


def test_the_monkey_knows_every_kind() -> None:
    assert set(ACTS) == set(KINDS)


def test_acts_come_in_order_and_within_the_time() -> None:
    times = [act.at_s for act in draw_plan(3, QUARTER_OF_AN_HOUR_S)]

    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < QUARTER_OF_AN_HOUR_S


def test_a_quarter_of_an_hour_has_several_storms_and_lonely_kills() -> None:
    counted = Counter(act.kind for act in draw_plan(3, QUARTER_OF_AN_HOUR_S))

    assert counted[KILL_ALONE] >= 8
    assert all(counted[kind] >= 6 for kind in LASTS_S)


def test_nothing_else_begins_around_a_lonely_kill() -> None:
    plan = draw_plan(3, QUARTER_OF_AN_HOUR_S)
    kills = [act.at_s for act in plan if act.kind == KILL_ALONE]

    for other in (act for act in plan if act.kind != KILL_ALONE):
        assert not any(at_s - 5 < other.at_s < at_s + RECOVERS_S - 1 for at_s in kills), other


def test_some_freezes_outlast_a_lease_and_some_do_not() -> None:
    lease_s = 14.0
    lasted = [act.lasts_s for seed in range(20) for act in draw_plan(seed, 90) if act.kind == "freeze_child"]

    assert min(lasted) < lease_s < max(lasted)
