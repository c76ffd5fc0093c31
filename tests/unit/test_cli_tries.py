"""What the attempts at a step, and its waiting, are told as."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.cli.tries import retried, tries_of, waits_of
from tests.unit.records import a_step, a_try, at

UNAVAILABLE = {"kind": "transient", "message": "Service Unavailable", "happened": False, "status": 503}


def a_retry(number: int, **error: Any) -> Any:
    return a_try(number, "retried", error={**UNAVAILABLE, "retry_in_s": 1.4, **error})


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ({"retry_in_s": 1.4}, "503 transient, again in 1.4 s: Service Unavailable"),
        ({"retry_in_s": 0.0, "kind": "auth", "status": 401}, "401 auth, again at once: Service Unavailable"),
        (
            {"retry_in_s": 2.1, "kind": "rate_limited", "status": 429, "retry_after_s": 2, "message": ""},
            "429 rate_limited, asked for 2.0 s, again in 2.1 s",
        ),
        (
            {"retry_in_s": 0.5, "kind": "timeout", "status": None, "message": "no answer"},
            "timeout, again in 500 ms: no answer",
        ),
        (
            {"retry_in_s": 1.0, "message": "first\x1b[31m\nsecond"},
            "503 transient, again in 1.0 s: first\\x1b[31m second",
        ),
    ],
    ids=["its wait", "at once", "what was asked for", "no status", "no control characters"],
)
def test_failure_that_was_answered_by_another_attempt_says_its_kind_and_the_wait(
    error: dict[str, Any], says: str
) -> None:
    assert retried({**UNAVAILABLE, **error}) == says


def test_each_attempt_has_a_line_where_one_was_answered_by_another() -> None:
    step = a_step(attempt=2, tries=[a_retry(1), a_try(2, "ok", latency_ms=12.0)])

    assert list(tries_of(step)) == [
        ("try", "1: 503 transient, again in 1.4 s: Service Unavailable"),
        ("try", "2: ok in 12 ms"),
    ]


def test_single_attempt_that_was_answered_by_another_is_told_while_the_step_waits() -> None:
    [(_, line)] = tries_of(a_step(status="pending", tries=[a_retry(1)], finished_at=None))
    assert line.startswith("1: 503 transient")


def test_single_attempt_that_came_to_an_end_needs_no_line() -> None:
    assert list(tries_of(a_step())) == []


def test_many_attempts_are_cut_to_the_latest_unless_all_are_wanted() -> None:
    step = a_step(tries=[a_retry(number) for number in range(1, 21)])

    assert [line.split(":")[0] for _, line in tries_of(step)][:2] == ["... 14 earlier (--full shows them)", "15"]
    assert len(list(tries_of(step, full=True))) == 20


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"waiting_reason": "breaker_open", "next_attempt_at": at(48)}, "breaker_open for 20.0 s, again in 28.0 s"),
        ({"waiting_reason": "slots_full", "next_attempt_at": at(19)}, "slots_full for 20.0 s"),
        (
            {"waiting_reason": "tool_paused", "next_attempt_at": at(48)},
            "tool_paused for 20.0 s; `agentflow tools list` says by whom and why",
        ),
        ({"waiting_reason": None}, "for a worker of queue tool.issue_refund"),
        ({"status": "ok", "waiting_reason": None}, ""),
    ],
    ids=["a time", "room", "an operator", "a worker", "nothing"],
)
def test_step_says_what_it_waits_for_since_when_and_until_when(changes: dict[str, Any], says: str) -> None:
    step = a_step(**{"status": "pending", "tries": [], "finished_at": None, **changes})
    assert waits_of(step, at(20)) == says


def test_wait_is_counted_from_the_end_of_the_attempt_before_it() -> None:
    step = a_step(status="pending", waiting_reason="throttled", next_attempt_at=at(25), tries=[a_retry(1)])
    assert waits_of(step, at(20)) == "throttled for 12.0 s, again in 5.0 s"
