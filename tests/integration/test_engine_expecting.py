"""A record takes its run for as the claim has left it, in one message; where it is not, it looks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agentflow import Budget, Context, Pipeline, tool
from agentflow.domain.outcome import Fenced
from agentflow.engine.executor import advance
from agentflow.testing import Harness
from tests.integration.counted import Counted
from tests.integration.hands import Hands, Interrupted
from tests.integration.operated import operations_of

CALLS: list[int] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def note(ctx: Context, value: str) -> str:
    CALLS.append(ctx.step_index)
    return value


tools = [tool(effect="read", name=name)(note) for name in ("first", "second", "third")]


@tool(effect="read")
def raises(value: str) -> str:
    raise ValueError(value)


raising = Pipeline("raising", [raises])
three = Pipeline("three", tools, budget=Budget(time_s=60))


@pytest.fixture
def counted(agentflow: Harness) -> Counted:
    return Counted(agentflow.database)


@pytest.fixture
def hands(agentflow: Harness, counted: Counted) -> Hands:
    made = Hands(agentflow, three, raising)
    made.runtime.isolated, made.runtime.continue_steps = True, 100
    made.runtime.queues = frozenset(each.queue for each in tools)
    made.runtime.database = counted
    return made


def test_each_step_of_a_run_that_nobody_touches_is_one_message(hands: Hands, counted: Counted) -> None:
    run_id = hands.submit(three, {"value": "v"})

    advance(hands.runtime, run_id)

    # The start is looked at and written; then each record claims the next step, and the last ends the run.
    assert (counted.messages, counted.sent["commit"], counted.sent["lock_again"]) == (5, 4, 0)
    assert (CALLS, hands.harness.client.get(run_id).status) == ([0, 1, 2], "done")


def test_a_step_by_a_message_of_its_own_is_claimed_in_two_and_recorded_in_one(hands: Hands, counted: Counted) -> None:
    hands.runtime.continue_steps = 1
    run_id = hands.begin(three, {"value": "v"})
    hands.drop_hints()
    counted.messages = 0

    hands.do(run_id, 0)

    # The first is the look that the gate needs.
    assert (counted.messages, counted.sent["lock_again"]) == (4, 0)


def pause_second(hands: Hands, _: str) -> None:
    hands.harness.client.tools.pause("second", by="ada", reason="a look")


def changed(what: str) -> Callable[[Hands, str], object]:
    statement = f"update agentflow.agent_runs set {what} where run_id = %(run_id)s"
    return lambda hands, run_id: hands.sql(statement, run_id=run_id)


MOVED: list[Any] = [
    pytest.param(lambda hands, run_id: operations_of(hands).cancel(run_id, by="ada"), "cancelled", [0], id="cancelled"),
    pytest.param(lambda hands, run_id: operations_of(hands).pause(run_id, by="ada"), "paused", [0], id="paused"),
    pytest.param(changed("stop_requested = 'cancel'"), "cancelled", [0], id="stop_requested"),
    pytest.param(changed("pause_requested = true"), "paused", [0], id="pause_requested"),
    pytest.param(pause_second, "waiting_tool", [0], id="its next tool is paused"),
    *(
        pytest.param(changed(what), "done", [0, 1, 2], id=what)
        for what in (
            "spent_attempts = spent_attempts + 1",
            "spent_tool_calls = spent_tool_calls + 1",
            "spent_tokens = spent_tokens + 7",
            "spent_cost_usd = spent_cost_usd + 0.25",
            "reserved_tokens = reserved_tokens + 7",
            "reserved_cost_usd = reserved_cost_usd + 0.25",
            "deadline_at = deadline_at + interval '1 minute'",
            "version = version + 1",
            "status = 'waiting_tool'",
            "waiting_reason = 'retry_transient'",
        )
    ),
]


@pytest.mark.parametrize(("move", "status", "calls"), MOVED)
def test_a_run_that_has_moved_on_is_looked_at(
    hands: Hands, counted: Counted, move: Callable[[Hands, str], object], status: str, calls: list[int]
) -> None:
    run_id = hands.submit(three, {"value": "v"})
    moved: list[Mapping[str, Any]] = []

    def meanwhile(_: object) -> None:
        move(hands, run_id)
        moved.append(hands.run_row(run_id))

    hands.runtime.reached = Interrupted("before_record", meanwhile)

    advance(hands.runtime, run_id)
    hands.work()

    assert counted.sent["lock_again"] == 1
    assert (hands.harness.client.get(run_id).status, CALLS) == (status, calls)
    # Nothing that somebody else has written is written over.
    row, more = hands.run_row(run_id), len(calls) - 1
    assert row["spent_attempts"] == moved[0]["spent_attempts"] + more
    assert row["spent_tool_calls"] == moved[0]["spent_tool_calls"] + more
    for kept in ("spent_tokens", "spent_cost_usd", "reserved_tokens", "reserved_cost_usd"):
        assert row[kept] == moved[0][kept]


def test_an_attempt_that_was_taken_back_records_nothing(hands: Hands, counted: Counted) -> None:
    run_id = hands.submit(three, {"value": "v"})
    hands.runtime.reached = Interrupted("before_record", hands.lose)

    advance(hands.runtime, run_id)

    assert counted.sent["lock_again"] == 1
    step = hands.step_row(run_id)
    assert (step["status"], step["tool_output"], CALLS) == ("pending", None, [0])


def test_a_failure_that_comes_after_another_has_failed_the_step_is_not_taken_for_the_one_written(hands: Hands) -> None:
    run_id = hands.begin(raising, {"value": "v"})
    hands.drop_hints()
    # As the sweeper leaves a step whose process it holds for lost: its attempt and its token stay.
    lost = """update agentflow.agent_steps set status = 'error', error = '{"kind": "poison", "message": "lost"}',
        lease_until = null, finished_at = clock_timestamp() where run_id = %(run_id)s"""
    hands.runtime.reached = Interrupted("before_record", lambda _: hands.sql(lost, run_id=run_id))

    assert isinstance(hands.do(run_id), Fenced)

    assert hands.step_row(run_id)["error"]["kind"] == "poison"
    [late] = hands.sql("select late_result from agentflow.attempts where run_id = %(run_id)s", run_id=run_id)
    assert late["late_result"] is not None
