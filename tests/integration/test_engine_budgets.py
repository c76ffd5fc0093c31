from __future__ import annotations

import time
from typing import Any

import pytest

from agentflow import Agent, Budget, Context, Pipeline, ToolError, tool
from agentflow.engine.sweeper import Sweeper
from agentflow.testing import FinishedRun, Harness, call, calls, scripted
from tests.integration.gate_visits import wait_until
from tests.integration.hands import Hands


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


def agent(**budget: Any) -> Agent:
    return Agent("clerk", model="openai:gpt-4o-mini", tools=[look], result=dict[str, int], budget=Budget(**budget))


def run(agentflow: Harness, answers: list[Any], **budget: Any) -> FinishedRun:
    return agentflow.run(agent(**budget), "go", model=scripted(*answers))


LOOKS = [call("look", n=n) for n in range(20)]
SAME = [call("look", n=1) for _ in range(20)]


@pytest.mark.parametrize(
    ("budget", "answers", "kind", "message"),
    [
        ({"steps": 3}, LOOKS, "budget_steps", "the run would need 4 steps; its budget is 3"),
        ({"tool_calls": 2}, LOOKS, "budget_tool_calls", "the run would need 3 tool_calls; its budget is 2"),
        ({"attempts": 3}, LOOKS, "budget_attempts", "the run's budget of 3 attempts is used up"),
        ({"tokens": 1}, LOOKS, "budget_tokens", "the run's budget of 1 tokens is used up"),
        ({"cost_usd": 0.000001}, LOOKS, "budget_cost_usd", "the run's budget of 1e-06 cost_usd is used up"),
        ({"same_call": 3}, SAME, "budget_same_call", "'look' would be called 4 times with the same arguments; 3 are"),
        ({"repairs": 1}, ["no"] * 9, "malformed_answers", "the model gave 2 answers that cannot be used; 1 repairs"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_run_that_passes_a_ceiling_ends_loudly_with_its_name(
    agentflow: Harness, budget: dict[str, Any], answers: list[Any], kind: str, message: str
) -> None:
    found = run(agentflow, answers, **budget)

    assert (found.status, found.error["kind"]) == ("failed", kind)
    assert message in found.error["message"]
    assert found.transitions[-1]["reason"] == kind
    assert {step.status for step in found.steps} <= {"ok", "skipped"}


def test_a_run_never_makes_more_attempts_than_its_budget(agentflow: Harness) -> None:
    found = run(agentflow, LOOKS, attempts=5)

    assert (found.record.attempts, sum(step.attempt for step in found.steps)) == (5, 5)


def test_attempts_that_were_lost_count_too(agentflow: Harness) -> None:
    pipeline = Pipeline("looking", [look], budget=Budget(attempts=2))
    hands = Hands(agentflow, pipeline)
    run_id = hands.begin(pipeline, {"n": 1})

    for _ in range(2):
        hands.lose(hands.claim(run_id))
    hands.work()

    assert agentflow.client.get(run_id).error["kind"] == "budget_attempts"


def test_siblings_past_a_ceiling_are_skipped_and_those_that_run_are_recorded(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent(attempts=3), model=scripted(calls(*LOOKS[:4]), '{"a": 1}'))
    run_id = hands.begin(agent(), "go")
    hands.do(run_id)
    running = [hands.claim(run_id, index) for index in (1, 2)]

    assert hands.refusal(run_id, 3) == ("budget", "attempts")
    hands.advance(run_id)
    for claim in running:
        hands.record(claim)
    hands.work()

    assert [hands.step_row(run_id, index)["status"] for index in range(1, 5)] == ["ok", "ok", "skipped", "skipped"]
    assert agentflow.client.get(run_id).error["kind"] == "budget_attempts"


def test_refused_claims_cost_nothing(agentflow: Harness) -> None:
    pipeline = Pipeline("looking", [look])
    hands = Hands(agentflow, pipeline)
    run_id = hands.begin(pipeline, {"n": 1})
    hands.claim(run_id)

    for _ in range(5):
        hands.refusal(run_id)

    assert agentflow.client.get(run_id).attempts == 1


def test_a_repaired_answer_is_the_result(agentflow: Harness) -> None:
    found = run(agentflow, ["no", call("nothing"), '{"a": 1}'], repairs=2)

    assert (found.status, found.result) == ("done", {"a": 1})


def test_a_run_out_of_time_fails_and_says_how_much_it_had(agentflow: Harness) -> None:
    def dawdle(request: object) -> Any:
        agentflow.database.atomically(
            lambda tx: tx.connection.exec_driver_sql(
                "update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'"
            )
        )
        return LOOKS[0]

    found = run(agentflow, [dawdle, '{"a": 1}'], time_s=30)

    assert (found.status, found.error["kind"]) == ("failed", "deadline")
    assert found.error["message"] == "the run did not end within its 30 seconds"


@pytest.mark.parametrize("budget", [{"steps": 5}, {"tool_calls": 2}, {"attempts": 5}, {"same_call": 2}], ids=str)
def test_a_run_that_needs_just_as_much_as_it_may_use_is_done(agentflow: Harness, budget: dict[str, int]) -> None:
    found = run(agentflow, [SAME[0], SAME[0], '{"a": 1}'], **budget)

    assert (found.status, found.result) == ("done", {"a": 1})


def test_a_submission_lowers_what_its_own_run_may_use_and_no_others(agentflow: Harness) -> None:
    one = agent(attempts=10)
    model = scripted(LOOKS[0], LOOKS[1], '{"a": 1}')

    low = agentflow.run(one, "go", model=model, budget={"attempts": 2})
    other = agentflow.run(one, "go", model=model)

    assert (low.error["kind"], low.record.attempts) == ("budget_attempts", 2)
    assert (other.status, other.record.attempts) == ("done", 5)


def storming(seconds: float) -> Agent:
    """Calls six tools at once, of which none ever answers."""

    def shut(ctx: Context) -> str:
        raise ToolError(f"shut: {ctx.idempotency_key}", kind="transient", happened=False)

    tools = [tool(effect="keyed", name=f"shut_{n}")(shut) for n in range(6)]
    return Agent("stormy", model="openai:gpt-4o-mini", tools=tools, budget=Budget(time_s=seconds, attempts=1000))


def test_a_storm_over_six_tools_ends_within_a_second_of_its_deadline(agentflow: Harness) -> None:
    one = storming(1.5)
    hands = Hands(agentflow, one, model=scripted(calls(*[call(f"shut_{n}") for n in range(6)])))
    hands.runtime.draw = lambda: 0.1
    sweeper = Sweeper(agentflow.database, agentflow.hints, agentflow.hints, hands.runtime.worker.worker_id)
    run_id = hands.begin(one, "go")
    hands.do(run_id)

    def ended() -> bool:
        sweeper.sweep()
        while hint := agentflow.hints.take():
            agentflow.obey(hands.runtime, hint)
        return agentflow.client.get(run_id).is_final

    wait_until(ended)

    found = agentflow.client.get(run_id)
    assert (found.status, found.error["kind"]) == ("failed", "deadline")
    assert found.finished_at is not None
    assert found.deadline_at is not None
    assert 0 <= (found.finished_at - found.deadline_at).total_seconds() < 1
    assert found.attempts > 12
    assert hands.causes() == {"deadline"}


def test_the_sweeper_knows_how_long_it_is_to_the_next_deadline(agentflow: Harness) -> None:
    one = storming(40)
    hands = Hands(agentflow, one, model=scripted(calls(call("shut_0"))))
    sweeper = Sweeper(agentflow.database, agentflow.hints, agentflow.hints, hands.runtime.worker.worker_id)
    run_id = hands.begin(one, "go")
    hands.do(run_id)

    assert sweeper.sweep()

    assert sweeper.next_at is not None
    assert 35 < sweeper.next_at - time.monotonic() <= 40


def test_each_attempt_at_a_step_counts_and_its_call_counts_once(agentflow: Harness) -> None:
    told = iter([ToolError("shut", kind="transient", happened=False)] * 3)

    @tool(effect="read", name="knock")
    def knock() -> str:
        for error in told:
            raise error
        return "come in"

    one = Pipeline("knocking", [knock], budget=Budget(tool_calls=1, steps=1, attempts=4))
    found = agentflow.run(one, None)

    assert (found.status, found.record.attempts, found.record.tool_calls) == ("done", 4, 1)
