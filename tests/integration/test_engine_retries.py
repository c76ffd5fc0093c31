"""Retries: when a failed step is tried again, what it costs meanwhile, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agentflow import Agent, Budget, Context, Pipeline, ToolError, tool
from agentflow.domain.outcome import Completed, Retrying
from agentflow.policy.response import MAX_SPREAD_S
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.faulty import (
    Answer,
)
from tests.integration.hands import Hands, Interrupted
from tests.integration.lost_answers import LostAnswers
from tests.integration.outside import (
    Endpoint,
    begun,
    fetch,
    make_due,
    post,
    posting,
    standing,
    step_error,
    tries,
    wait_s,
)

pytest_plugins = ["tests.integration.outside_server"]


def test_a_server_that_is_down_for_a_moment_is_asked_again(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503), Answer(200, body={"refund": 1}))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    assert isinstance(hands.do(run_id), Retrying)
    assert standing(hands, run_id) == ("waiting_tool", "retry_transient")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.result, run.attempts) == ("done", {"refund": 1}, 2)
    assert tries(hands, run_id) == ["retried", "ok"]
    assert hands.causes() == set()


def test_the_wait_is_kept_in_the_database_and_no_worker_sleeps(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(429, {"Retry-After": "3000"}))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    began = time.monotonic()
    hands.do(run_id)
    took_s = time.monotonic() - began

    assert took_s < 2
    assert wait_s(hands, run_id) >= 3000
    assert hands.refusal(run_id)[0] == "not_due"


def test_what_failed_is_kept_beside_the_attempt(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503, body="out of order"))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    hands.do(run_id)

    [attempt] = agentflow.client.steps(run_id)[0].tries

    assert attempt["error"] == step_error(hands, run_id)
    told = {name: attempt["error"][name] for name in ("kind", "status", "happened", "retry_in_s")}
    assert told == {"kind": "transient", "status": 503, "happened": False, "retry_in_s": 0.5}


def in_90_s() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)


WISHES = [
    pytest.param(lambda: {"Retry-After": "2"}, 2, id="seconds"),
    pytest.param(lambda: {"Retry-After": in_90_s()}, 88, id="a date"),
    pytest.param(lambda: {"retry-after-ms": "1500"}, 1.5, id="milliseconds"),
    pytest.param(lambda: {"Retry-After": "40"}, 40, id="longer than the longest backoff"),
    pytest.param(lambda: {"Retry-After": str(365 * 86_400)}, 3600, id="a year is cut at an hour"),
]


@pytest.mark.parametrize("draw", [0.0, 0.999], ids=["at its soonest", "at its latest"])
@pytest.mark.parametrize(("headers", "wish_s"), WISHES)
def test_a_429_is_not_asked_again_before_its_time_nor_much_later(
    agentflow: Harness,
    endpoint: Endpoint,
    headers: Callable[[], dict[str, str]],
    wish_s: float,
    draw: float,
) -> None:
    endpoint.answers(Answer(429, headers()), Answer(200))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    hands.runtime.draw = lambda: draw

    hands.do(run_id)

    assert standing(hands, run_id) == ("waiting_tool", "retry_rate_limited")
    # A date has whole seconds, and the attempt took a moment of them.
    assert wish_s - 0.5 < wait_s(hands, run_id) <= wish_s * 1.1 + 1.2
    assert wait_s(hands, run_id) <= wish_s + MAX_SPREAD_S + 2.2


@pytest.mark.parametrize("wish", ["0", "-5", "soon", "Mon, 01 Jan 2001 00:00:00 GMT", "9" * 400, ""])
def test_a_429_with_a_wish_that_cannot_be_granted_is_backed_off_from(
    agentflow: Harness, endpoint: Endpoint, wish: str
) -> None:
    endpoint.answers(Answer(429, {"Retry-After": wish}), Answer(200))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    hands.do(run_id)

    assert wait_s(hands, run_id) == pytest.approx(0.5, abs=0.2)


def test_an_idempotent_call_that_may_be_under_way_still_is_not_repeated_before_its_lease_ends(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(500))
    hands, run_id = begun(agentflow, posting("idempotent"), endpoint.url)

    hands.do(run_id)

    # The lease is the timeout of five seconds and the ten in which to record.
    assert 13 < wait_s(hands, run_id) <= 15


def test_past_the_quick_tries_the_distance_grows_until_it_is_ten_minutes(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    hands.runtime.draw = lambda: 1.0
    waits = []

    for _ in range(11):
        hands.do(run_id)
        waits.append(round(wait_s(hands, run_id)))
        make_due(hands)

    assert waits == [1, 2, 4, 30, 60, 120, 240, 480, 600, 600, 600]


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.75])
def test_waits_are_drawn_from_zero_on_so_that_those_who_failed_together_do_not_return_together(
    agentflow: Harness, endpoint: Endpoint, draw: float
) -> None:
    endpoint.answers(Answer(503))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    hands.runtime.draw = lambda: draw

    hands.do(run_id)

    assert wait_s(hands, run_id) == pytest.approx(draw, abs=0.2)


def test_a_step_that_waits_at_growing_distance_ends_with_its_run_at_the_deadline(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    hands.do(run_id)

    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp()")
    make_due(hands)
    assert hands.refusal(run_id) == ("run_stopped", "deadline")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], hands.step_row(run_id)["status"]) == ("failed", "deadline", "skipped")
    assert hands.causes() == {"deadline"}


def test_a_retry_storm_ends_at_the_ceiling_of_attempts_and_a_person_is_told(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503))
    hands, run_id = begun(agentflow, posting(attempts=6), endpoint.url)

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], run.attempts) == ("failed", "budget_attempts", 6)
    assert len(endpoint.arrivals) == 6
    assert tries(hands, run_id) == ["retried"] * 5 + ["error"]
    assert hands.causes() == {"budget_attempts"}


def test_a_storm_over_six_tools_at_once_makes_no_more_attempts_than_its_run_may(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503))
    tools = [tool(effect="keyed", name=f"post_{n}")(post) for n in range(6)]
    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=tools, budget=Budget(attempts=20))
    asked = calls(*[call(each.name, url=endpoint.url) for each in tools])

    found = agentflow.run(clerk, "go", model=scripted(asked, "never said"))

    assert (found.status, found.error["kind"], found.record.attempts) == ("failed", "budget_attempts", 20)
    assert len(endpoint.arrivals) == 19
    assert {step.status for step in found.steps[1:]} <= {"error", "skipped"}


def test_an_attempt_that_failed_holds_its_business_key_until_it_ends(agentflow: Harness) -> None:
    told = iter([ToolError("shut", kind="transient", happened=False), None, ToolError("no", happened=False)])

    @tool(effect="keyed", name="reserve", key="seat:{seat}")
    def reserve(ctx: Context, seat: str) -> str:
        if (error := next(told)) is not None:
            raise error
        return ctx.idempotency_key

    reserving = Pipeline("reserving", [reserve])
    hands = Hands(agentflow, reserving)
    first, second = (hands.begin(reserving, {"seat": "1A"}) for _ in range(2))

    assert isinstance(hands.do(first), Retrying)
    assert hands.refusal(second)[0] == "key_in_flight"
    make_due(hands)
    assert isinstance(hands.do(first), Completed)
    hands.work()

    assert [agentflow.client.get(run_id).result for run_id in (first, second)] == ["seat:1A", "seat:1A"]
    assert agentflow.client.get(second).attempts == 0


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])
def test_a_retry_whose_commit_was_not_answered_is_known_again_and_not_fenced(
    agentflow: Harness, endpoint: Endpoint, *, committed: bool
) -> None:
    endpoint.answers(Answer(503), Answer(200, body={"refund": 1}))
    hands, run_id = begun(agentflow, posting("keyed"), endpoint.url)
    answers = LostAnswers(agentflow.database)
    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next(committed=committed))

    assert isinstance(hands.do(run_id), Retrying)
    assert (answers.lost, tries(hands, run_id)) == (1, ["retried"])
    assert standing(hands, run_id) == ("waiting_tool", "retry_transient")
    hands.work()

    assert agentflow.client.get(run_id).result == {"refund": 1}
    assert (tries(hands, run_id), len(endpoint.arrivals)) == (["retried", "ok"], 2)
    assert hands.causes() == set()


def test_a_retry_that_was_lost_and_taken_up_by_another_is_left_to_that_one(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503))
    hands, run_id = begun(agentflow, posting("keyed"), endpoint.url)
    answers = LostAnswers(agentflow.database)

    def another_takes_it() -> None:
        make_due(hands)
        hands.record(hands.claim(run_id))

    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next(meanwhile=another_takes_it))

    hands.do(run_id)
    hands.work()

    assert (agentflow.client.get(run_id).status, tries(hands, run_id)) == ("done", ["retried", "ok"])


def test_a_failed_write_of_a_transactional_tool_leaves_nothing_and_is_tried_again(agentflow: Harness) -> None:
    told = iter([ToolError("not yet", kind="transient"), None])

    @tool(effect="transactional", name="note")
    def note(ctx: Context) -> str:
        ctx.connection.exec_driver_sql("insert into notes values (1)")
        if (error := next(told)) is not None:
            raise error
        return "noted"

    noting = Pipeline("noting", [note])
    hands = Hands(agentflow, noting)
    hands.sql("create table notes (n int)")
    run_id = hands.begin(noting)

    assert isinstance(hands.do(run_id), Retrying)
    assert hands.value("select count(*) from notes") == 0
    hands.work()
    written = hands.value("select count(*) from notes")
    hands.sql("drop table notes")

    assert (written, tries(hands, run_id)) == (1, ["retried", "ok"])


def test_the_siblings_of_a_step_that_waits_go_on_and_the_run_says_it_runs(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503), Answer(200))
    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[fetch])
    hands = Hands(
        agentflow,
        clerk,
        model=scripted(calls(call("fetch", url=endpoint.url), call("fetch", url=endpoint.url + "?b")), "done"),
    )
    run_id = hands.begin(clerk, "go")
    hands.do(run_id)
    other = hands.claim(run_id, 2)

    hands.do(run_id, 1)

    assert standing(hands, run_id) == ("running", None)
    hands.record(other)
    assert standing(hands, run_id) == ("waiting_tool", "retry_transient")
    hands.work()
    assert agentflow.client.get(run_id).result == "done"


def test_every_change_of_standing_is_in_the_log_with_its_reason(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503), Answer(429), Answer(200))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    hands.work()

    told = [(row["new"], row["reason"]) for row in agentflow.client.transitions(run_id)]
    assert told == [
        ("pending", "submitted"),
        ("running", "claimed"),
        ("waiting_tool", "retry_transient"),
        ("running", "claimed"),
        ("waiting_tool", "retry_rate_limited"),
        ("running", "claimed"),
        ("done", "done"),
    ]
