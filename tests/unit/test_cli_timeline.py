"""A run as a timeline."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from agentflow.cli.timeline import Timeline
from tests.unit.records import START, a_run, a_step, a_try, at


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
    assert "key_in_flight for 20.0 s, again in 5.0 s" in drawn(
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


def test_run_that_waits_for_a_tool_says_which_and_for_what() -> None:
    run = a_run(status="waiting_tool", outcome=None, waiting_reason="breaker_open", finished_at=None)
    parked = a_step(status="pending", waiting_reason="breaker_open", next_attempt_at=at(48), tries=[], finished_at=None)
    text = drawn(Timeline(run, [parked, parked], at(20)), 120)
    assert "waits   for issue_refund (step 0): breaker_open for 20.0 s, again in 28.0 s; and 1 more step" in text


def test_step_that_goes_on_shows_its_last_attempts_error_once() -> None:
    error = {"kind": "transient", "message": "unavailable", "happened": False, "status": 503, "retry_in_s": 1.4}
    step = a_step(status="pending", error=error, tries=[a_try(1, "retried", error=error)], finished_at=None)
    text = drawn(Timeline(a_run(status="waiting_tool", finished_at=None), [step], at(20)))
    assert text.count("unavailable") == 1
    assert "try   1: 503 transient, again in 1.4 s: unavailable" in text


@pytest.mark.parametrize(
    ("outcome", "result", "is_shown"), [("handoff", None, False), ("partial", "half", True)], ids=["handoff", "partial"]
)
def test_run_that_came_to_its_fallback_says_why(outcome: str, result: str | None, is_shown: bool) -> None:
    error = {"kind": "budget_cost_usd", "message": "the next call would cost more", "step_index": 3}
    text = drawn(Timeline(a_run(outcome=outcome, result=result, error=error), [], at(20)))
    assert f"done, {outcome}" in text
    assert "why     budget_cost_usd: the next call would cost more" in text
    assert ("result " in text) is is_shown


@pytest.mark.parametrize("width", [50, 60, 80, 90, 100])
def test_what_was_used_is_never_broken_inside_a_part(width: int) -> None:
    lines = drawn(Timeline(a_run(), [], at(20)), width).splitlines()
    used = [line[8:].rstrip() for line in lines[lines.index(next(x for x in lines if x.startswith("used"))) :]]
    parts = " · ".join(used[: next(i for i, x in enumerate(used) if "time" in x) + 1]).split(" · ")
    assert [part.rsplit(" ", 1)[0] for part in parts] == [
        "steps",
        "attempts",
        "tool calls",
        "tokens",
        "cost",
        "time 10.0 s/15",
    ]


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
