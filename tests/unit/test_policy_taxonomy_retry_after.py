from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.policy.taxonomy import read_retry_after
from agentflow.policy.taxonomy.retry_after import MAX_WISH_S

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)


def date(**ahead: float) -> str:
    return format_datetime(NOW + timedelta(**ahead), usegmt=True)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0.001", 0.001),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("31536000", 3600.0),
        (date(seconds=90), 90.0),
        (date(days=365), 3600.0),
        ("Monday, 02-Nov-26 03:04:15 GMT", 10.0),
        ("Mon Nov  2 03:04:15 2026", 10.0),
        ("Mon, 02 Nov 2026 04:04:15 +0100", 10.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
)
def test_seconds_and_dates_are_read_and_cut_at_an_hour(text: str, wish: float) -> None:
    assert read_retry_after({"Retry-After": text}, NOW) == wish


NONSENSE = [
    "",
    "0",
    "0.0",
    "-1",
    "-0.5",
    "+5",
    "nan",
    "inf",
    "-inf",
    "Infinity",
    "1e3",
    "1_000",
    "0x10",
    "5 seconds",
    "5, 5",
    "soon",
    "\u0665",
    "\x00",
    "9" * 65,
    "Mon, " * 100_000,
    "Wed, 21 Oct 2026 07:28:00 -9999",
    "Wed, 21 Oct 2026 07:28:00 +99999999999999",
    "Wed, 21 Oct 99999 07:28:00 GMT",
    date(seconds=0),
    date(seconds=-1),
    date(days=-3650),
]


@pytest.mark.parametrize("text", NONSENSE, ids=lambda text: repr(text[:40]))
def test_what_says_nothing_usable_leaves_it_to_the_backoff(text: str) -> None:
    assert read_retry_after({"Retry-After": text}, NOW) is None


@pytest.mark.parametrize("name", ["retry-after", "RETRY-AFTER", "Retry-After"])
def test_the_headers_name_is_read_in_any_case(name: str) -> None:
    assert read_retry_after({"x-other": "1", name: "3"}, NOW) == 3


@pytest.mark.parametrize(
    ("milliseconds", "wish"), [("1500", 1.5), ("250.5", 0.2505), ("99999999999", 3600.0), ("0", 9.0), ("soon", 9.0)]
)
def test_milliseconds_go_before_seconds_where_they_can_be_read(milliseconds: str, wish: float) -> None:
    assert read_retry_after({"Retry-After": "9", "Retry-After-Ms": milliseconds}, NOW) == pytest.approx(wish)


def test_without_a_header_there_is_no_wish() -> None:
    assert read_retry_after({}, NOW) is None


@given(st.one_of(st.text(), st.from_regex(r"[0-9.+-]{1,70}"), st.datetimes().map(lambda at: f"{at:%a, %d %b %Y %X}")))
def test_whatever_a_header_says_the_wish_is_none_or_within_an_hour(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        wish = read_retry_after({name: text}, NOW)
        assert wish is None or 0 < wish <= MAX_WISH_S


@given(st.integers(min_value=1, max_value=int(MAX_WISH_S)))
def test_a_date_means_the_same_as_its_seconds(seconds: int) -> None:
    assert read_retry_after({"Retry-After": date(seconds=seconds)}, NOW) == seconds
