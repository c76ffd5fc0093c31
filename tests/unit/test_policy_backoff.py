from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.policy.backoff import backoff_s, parking_s

TRIES = st.integers(min_value=-5, max_value=10**9)
DRAWS = st.floats(min_value=0, max_value=1)


@pytest.mark.parametrize(("tries", "most"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (5_000, 30)])
def test_the_backoff_is_anything_up_to_a_bound_that_doubles_to_thirty_seconds(tries: int, most: float) -> None:
    assert [backoff_s(tries, draw) for draw in (0, 0.5, 1)] == [0, most / 2, most]


@pytest.mark.parametrize(("beyond", "most"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (5_000, 600)])
def test_parking_is_half_fixed_and_half_drawn_and_grows_to_ten_minutes(beyond: int, most: float) -> None:
    assert [parking_s(beyond, draw) for draw in (0, 0.5, 1)] == [most / 2, most * 3 / 4, most]


@given(TRIES, DRAWS)
def test_no_wait_is_negative_endless_or_over_its_cap(tries: int, draw: float) -> None:
    assert 0 <= backoff_s(tries, draw) <= 30
    assert 15 <= parking_s(tries, draw) <= 600
    assert math.isfinite(backoff_s(tries, draw) + parking_s(tries, draw))


@given(TRIES, DRAWS)
def test_one_more_failure_never_shortens_the_bound(tries: int, draw: float) -> None:
    assert backoff_s(tries + 1, draw) >= backoff_s(tries, draw)
    assert parking_s(tries + 1, draw) >= parking_s(tries, draw)
