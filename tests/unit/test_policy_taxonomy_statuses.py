from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.policy.taxonomy import classify_status
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
NO, MAYBE = False, None

STATUSES = [
    (400, "bad_input", NO),
    (401, "auth", NO),
    (402, "quota", NO),
    (403, "auth", NO),
    (404, "bad_input", NO),
    (405, "bad_input", NO),
    (408, "transient", NO),
    (409, "bad_input", NO),
    (410, "bad_input", NO),
    (413, "bad_input", NO),
    (418, "bad_input", NO),
    (422, "bad_input", NO),
    (425, "transient", NO),
    (429, "rate_limited", NO),
    (451, "bad_input", NO),
    (499, "bad_input", NO),
    (500, "transient", MAYBE),
    (501, "transient", MAYBE),
    (502, "transient", MAYBE),
    (503, "transient", NO),
    (504, "transient", MAYBE),
    (520, "transient", MAYBE),
    (529, "transient", NO),
    (599, "transient", MAYBE),
    (999, "transient", MAYBE),
]


@pytest.mark.parametrize(("status", "kind", "happened"), STATUSES)
def test_each_status_has_its_kind_and_its_word_on_whether_it_happened(
    status: int, kind: str, happened: bool | None
) -> None:
    failed = classify_status(status, {}, "", now=NOW)
    assert failed is not None
    assert (failed.kind, failed.happened, failed.status) == (kind, happened, status)


@pytest.mark.parametrize("status", [100, 200, 201, 204, 206, 301, 304, 399])
def test_below_400_nothing_failed(status: int) -> None:
    assert classify_status(status, {"Retry-After": "1"}, "insufficient_quota", now=NOW) is None


OPENAI = '{"error": {"message": "You exceeded your current quota", "code": "%s"}}'
ANTHROPIC = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, OPENAI % "insufficient_quota"),
        (429, OPENAI % "billing_hard_limit_reached"),
        (429, "Your CREDIT BALANCE is too low"),
        (400, OPENAI % "billing_hard_limit_reached"),
        (400, ANTHROPIC),
        (403, OPENAI % "insufficient_quota"),
    ],
)
def test_an_answer_that_asks_for_money_is_quota_whatever_its_status(status: int, body: str) -> None:
    failed = classify_status(status, {}, body, now=NOW)
    assert failed is not None
    assert (failed.kind, failed.happened) == ("quota", False)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, OPENAI % "rate_limit_exceeded", "rate_limited"),
        # A bank speaks of its customer here.
        (400, "The customer's credit balance is too low", "bad_input"),
        (500, OPENAI % "insufficient_quota", "transient"),
    ],
)
def test_an_answer_that_only_sounds_like_money_keeps_its_kind(status: int, body: str, kind: str) -> None:
    failed = classify_status(status, {}, body, now=NOW)
    assert failed is not None
    assert failed.kind == kind


def test_the_other_sides_wish_is_kept() -> None:
    failed = classify_status(503, {"RETRY-AFTER": "12"}, "", now=NOW)
    assert failed is not None
    assert failed.retry_after_s == 12


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, "", "HTTP 404 Not Found"),
        (404, "  no such order\n", "HTTP 404 Not Found: no such order"),
        (529, "Overloaded", "HTTP 529: Overloaded"),
    ],
)
def test_the_message_is_the_status_and_the_body(status: int, body: str, message: str) -> None:
    failed = classify_status(status, {}, body, now=NOW)
    assert failed is not None
    assert failed.message == message


def test_a_body_of_ten_megabytes_is_not_held() -> None:
    failed = classify_status(500, {}, "x" * 10_000_000, now=NOW)
    assert failed is not None
    assert len(failed.message) == MAX_MESSAGE


@given(st.integers(min_value=400, max_value=999), st.dictionaries(st.text(), st.text()), st.text())
def test_every_status_from_400_on_is_a_failure_with_a_bounded_message(
    status: int, headers: dict[str, str], body: str
) -> None:
    failed = classify_status(status, headers, body, now=NOW)
    assert failed is not None
    assert len(failed.message) <= MAX_MESSAGE
    assert failed.happened is not True
