"""What happened to a run in the course of time, what is in doubt of it, and whose step is about which."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agentflow.cli.timeline import Timeline
from tests.unit.records import START, a_run, a_step, at

SUBMITTED = {"old": None, "new": "pending", "step_index": None, "reason": "submitted", "at": START}
DONE = {"old": "running", "new": "done", "step_index": None, "reason": "done", "at": at(11)}


def drawn(timeline: Timeline, width: int = 120) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(timeline)
    return out.getvalue()


def an_act(act: str, **facts: Any) -> dict[str, Any]:
    known = {"act": act, "done_by": "ada", "reason": None, "step_index": None, "details": None, "at": at(5)}
    return {**known, **facts}


def a_doubt(index: int = 0, **error: Any) -> Any:
    known = {"kind": "timeout", "message": "no answer", "happened": None, **error}
    return a_step(step_index=index, status="in_doubt", waiting_reason="in_doubt", error=known, output=None)


def waiting(**changes: Any) -> Any:
    return a_run(status="waiting_human", waiting_reason="in_doubt", outcome=None, finished_at=None, **changes)


def test_what_people_did_stands_between_the_changes_in_order() -> None:
    act = an_act("resolved", reason="seen", step_index=3, details={"resolution": "happened"})
    text = drawn(Timeline(a_run(), [], at(20), [SUBMITTED, DONE], interventions=[act]))

    lines = text[text.index("history") :].splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "+0 ms  pending  (submitted)",
        "+5.0 s  resolved: happened, step 3, by ada: seen",
        "+11.0 s  running -> done  (done)",
    ]


def test_what_people_say_cannot_steer_the_terminal() -> None:
    text = drawn(Timeline(a_run(), [], at(20), interventions=[an_act("cancelled", reason="\x1b[2K\nsee")]))

    assert "\x1b" not in text
    assert "cancelled, by ada: \\x1b[2K see" in text


def test_a_verification_and_an_undoing_name_the_step_that_they_are_about() -> None:
    verify = a_step(tool_name="verify", subject_index=3, subject_tool="issue_refund")
    undo = a_step(tool_name="compensate", subject_index=3, subject_tool="issue_refund")

    text = drawn(Timeline(a_run(), [verify, undo], at(20)))

    assert "verify of 3 issue_refund" in text
    assert "compensate of 3 issue_refund" in text


def test_a_doubt_says_until_when_it_can_have_been_sent_and_what_ends_it() -> None:
    run = waiting()
    text = drawn(Timeline(run, [a_doubt(sent_until=at(8).isoformat())], at(20)))

    assert "doubt   0 issue_refund: it can have been sent until" in text
    assert "(12 s ago)" in text
    assert f"then    agentflow runs resolve {run.run_id} happened\n" in text


def test_several_doubts_have_a_command_each() -> None:
    text = drawn(Timeline(waiting(), [a_doubt(1), a_doubt(2)], at(20)))

    assert "--step 1 happened" in text
    assert "--step 2 happened" in text
    assert "1 issue_refund: nobody knows until when it can have been sent" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_doubt_is_no_wider_than_the_terminal(width: int) -> None:
    text = drawn(Timeline(waiting(), [a_doubt(1), a_doubt(2)], at(20), [SUBMITTED]), width)

    assert max(map(len, text.splitlines())) <= width


def test_a_step_that_is_being_verified_asks_for_nobody() -> None:
    step = a_step(status="in_doubt", waiting_reason="verifying", output=None, finished_at=None)
    text = drawn(Timeline(a_run(status="running", finished_at=None), [step], at(20)))

    assert "waits for its verification" in text
    assert "runs resolve" not in text


def test_a_step_that_waits_for_a_person_says_where_to_look() -> None:
    step = a_step(status="pending", waiting_reason="approval", next_attempt_at=at(3620), tries=[], finished_at=None)
    run = a_run(status="waiting_human", waiting_reason="approval", finished_at=None)
    text = drawn(Timeline(run, [step], at(20)), 200)

    assert "approval for 20.0 s, expires in 1 h; `agentflow approvals list` shows it" in text
    assert f"for a person: approval; `agentflow approvals list --run {run.run_id}`" in text


@pytest.mark.parametrize(
    ("compensation", "said"),
    [
        ("done", "undone  what it did was undone"),
        ("kept", "undone  no: what it did stays as it is"),
        ("failed", "undone  failed: the shop is closed"),
    ],
)
def test_a_run_that_failed_says_what_became_of_what_it_did(compensation: str, said: str) -> None:
    error = {"kind": "tool_failed", "message": "sold out", "step_index": 1, "compensation": "the shop is closed"}
    run = a_run(status="failed", outcome=None, result=None, error=error, compensation=compensation)

    assert said in drawn(Timeline(run, [], at(20)))
