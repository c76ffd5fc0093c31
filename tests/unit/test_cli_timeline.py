"""A run as a timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agentflow.cli.timeline import Timeline
from agentflow.store.reads import RunRecord, StepRecord

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUDGET = {"steps": 50, "attempts": 60, "tool_calls": 40, "tokens": None, "cost_usd": 1.0, "time_s": 900.0}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def a_run(**changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": "01a203c4-30b2-70db-b23c-5b03044fcb4e",
        "tenant": "default",
        "user_id": "ada",
        "agent": "refunds",
        "agent_version": "323970a96391",
        "status": "done",
        "outcome": "complete",
        "current_step": 0,
        "input": "My order 4421 arrived broken.",
        "scratchpad": {},
        "result": "Refunded.",
        "error": None,
        "conversation_id": None,
        "idempotency_key": "ticket-8821",
        "waiting_reason": None,
        "stop_requested": None,
        "attempts": 2,
        "tool_calls": 1,
        "tokens": 341,
        "cost_usd": Decimal("0.00027"),
        "budget": BUDGET,
        "flags": [],
        "not_before": None,
        "created_at": START,
        "started_at": at(1),
        "deadline_at": None,
        "finished_at": at(11),
    }
    return RunRecord(**{**values, **changes})


def a_try(number: int, status: str, **changes: Any) -> Mapping[str, Any]:
    values = {"attempt": number, "status": status, "error": None, "late_result": None, "latency_ms": None}
    return {**values, "started_at": at(number), "ended_at": at(number + 7), **changes}


def a_step(**changes: Any) -> StepRecord:
    values: dict[str, Any] = {
        "step_index": 0,
        "tool_name": "issue_refund",
        "status": "ok",
        "effect": "keyed",
        "input": {"order_id": "4421"},
        "output": {"refund_id": "r-1"},
        "error": None,
        "attempt": 1,
        "idempotency_key": "refund:4421",
        "queue": "tool.issue_refund",
        "parent_index": None,
        "call_index": None,
        "waiting_reason": None,
        "next_attempt_at": None,
        "created_at": START,
        "finished_at": at(8),
        "tries": [a_try(1, "ok", latency_ms=12.0)],
    }
    return StepRecord(**{**values, **changes})


def drawn(timeline: Timeline, width: int = 80) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(timeline)
    return out.getvalue()


def test_head_says_whose_run_it_is_and_what_it_used() -> None:
    text = drawn(Timeline(a_run(), [a_step()], at(20)), 120)
    for part in (
        "done",
        "agent refunds",
        "user ada",
        "key ticket-8821",
        "took 10.0 s",
        "attempts 2/60",
        "$0.00027/$1.00",
    ):
        assert part in text


def test_step_says_what_became_of_each_attempt() -> None:
    step = a_step(attempt=2, tries=[a_try(1, "lost"), a_try(2, "ok", latency_ms=12.0)])
    assert "1 lost after 7.0 s, 2 ok in 12 ms" in drawn(Timeline(a_run(), [step], at(20)))


def test_step_that_failed_says_why_and_whether_it_may_have_happened() -> None:
    error = {"kind": "timeout", "message": "no answer in 2 s", "happened": None}
    text = drawn(Timeline(a_run(status="failed"), [a_step(status="error", error=error, output=None)], at(20)))
    assert "timeout: no answer in 2 s (it may have happened)" in text


def test_step_that_waits_says_for_what_and_how_long() -> None:
    step = a_step(status="pending", waiting_reason="key_in_flight", next_attempt_at=at(25), tries=[], finished_at=None)
    assert "key_in_flight, again in 5.0 s" in drawn(
        Timeline(a_run(status="waiting_tool", finished_at=None), [step], at(20))
    )


def test_step_answered_by_another_runs_call_says_so() -> None:
    assert "refund:4421 was used before" in drawn(Timeline(a_run(), [a_step(attempt=0, tries=[])], at(20)))


def test_model_step_shows_its_answer_its_calls_and_its_cost() -> None:
    output = {"content": "Let me see.", "tool_calls": [{"name": "lookup_order", "arguments": '{"order_id":"4421"}'}]}
    step = a_step(tool_name="model", output=output, model="gpt-4o-mini", prompt_tokens=1000, completion_tokens=200)
    text = drawn(Timeline(a_run(), [step], at(20)))
    for part in ("by    gpt-4o-mini", "says  Let me see.", 'calls lookup_order({"order_id":"4421"})', "1,200"):
        assert part in text


def test_failed_run_ends_with_its_error() -> None:
    run = a_run(status="failed", outcome=None, error={"kind": "budget", "message": "cost_usd is used up"}, result=None)
    assert "error   budget: cost_usd is used up" in drawn(Timeline(run, [], at(20)))


def test_run_that_waits_for_a_person_says_so() -> None:
    run = a_run(status="waiting_human", waiting_reason="in_doubt", finished_at=None)
    assert "waits   for a person: in_doubt" in drawn(Timeline(run, [a_step(status="in_doubt")], at(20)))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    step = a_step(tool_name="a_tool_with_a_name_as_long_as_names_may_well_be", output={"text": "long " * 200})
    text = drawn(Timeline(a_run(input="word " * 300, result={"text": "x" * 900}), [step] * 3, at(20)), width)
    assert max(map(len, text.splitlines())) <= width


def test_full_shows_every_word() -> None:
    word = "x" * 900
    text = drawn(Timeline(a_run(result=word), [a_step(output={"text": word})], at(20), full=True))
    assert text.count("x") >= 1800


def test_latest_steps_are_those_that_are_shown_where_there_is_little_room() -> None:
    steps = [a_step(step_index=index, tool_name=f"tool_{index}") for index in range(9)]
    text = drawn(Timeline(a_run(), steps, at(20), last_steps=2))
    assert "... 7 earlier" in text
    assert "tool_8" in text
    assert "tool_6" not in text


def test_history_tells_each_change_of_the_run_from_its_beginning() -> None:
    changes = [
        {"old": None, "new": "pending", "step_index": None, "reason": "submitted", "at": START},
        {"old": "pending", "new": "running", "step_index": 0, "reason": "claimed", "at": at(1)},
        {"old": "running", "new": "done", "step_index": None, "reason": "done", "at": at(11)},
    ]
    text = drawn(Timeline(a_run(), [], at(20), changes))
    assert "+11.0 s  running -> done  (done)" in text
    assert "+1.0 s  pending -> running  (claimed, step 0)" in text


def test_long_history_is_cut_to_its_end_and_says_so() -> None:
    change = {"old": "running", "new": "waiting_tool", "step_index": 1, "reason": "parked"}
    changes = [{**change, "at": at(second)} for second in range(30)]
    assert "... 18 earlier" in drawn(Timeline(a_run(), [], at(40), changes))
    assert drawn(Timeline(a_run(), [], at(40), changes, full=True)).count("parked") == 30
