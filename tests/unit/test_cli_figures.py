"""Values as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agentflow.cli.figures import age, duration, money, one_line, printable, whole


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 ms"),
        (0.0124, "12 ms"),
        (0.9994, "999 ms"),
        (0.9999, "1.0 s"),
        (3.42, "3.4 s"),
        (125, "2 min 5 s"),
        (7260, "2 h 1 min"),
        (900, "15 min"),
        (90_000, "1 d 1 h"),
        (-1, "0 ms"),
    ],
)
def test_duration_has_the_unit_that_fits(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@pytest.mark.parametrize(
    ("cost", "written"),
    [
        (Decimal("0E-9"), "$0.00"),
        (Decimal("0.00027"), "$0.00027"),
        (Decimal("0.000069123"), "$0.000069"),
        (Decimal("0.4"), "$0.40"),
        (1.0, "$1.00"),
        (Decimal("1234.5"), "$1,234.50"),
        (None, ""),
    ],
)
def test_money_has_as_many_digits_as_a_small_sum_needs(cost: Decimal | float | None, written: str) -> None:
    assert money(cost) == written


def test_age_is_told_in_its_largest_unit() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert [age(now - timedelta(seconds=back), now) for back in (5, 130, 7300, 90_000)] == [
        "5 s ago",
        "2 min ago",
        "2 h ago",
        "1 d ago",
    ]


def test_age_of_a_moment_ahead_of_this_clock_is_zero() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert age(now + timedelta(seconds=9), now) == "0 s ago"


def test_control_characters_in_data_cannot_steer_the_terminal() -> None:
    assert printable("red \x1b[31m and \x07") == "red \\x1b[31m and \\x07"
    assert "\x1b" not in one_line("\x1b]0;title\x07")
    assert "\x1b" not in whole({"key": "\x1b[2J"})


def test_text_on_one_line_is_itself_and_data_is_json() -> None:
    assert one_line("two\nlines  here") == "two lines here"
    assert one_line({"n": 3, "ä": None}) == '{"n": 3, "ä": null}'
    assert one_line("") == '""'
