"""What a run comes to that would pass a ceiling: what its agent declares, and never a hang."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentflow import Agent, Budget, Fail, Handoff, Model, Partial, Pipeline, tool
from agentflow.llm.clients import client_for
from agentflow.testing import FinishedRun, Harness, call, calls, scripted
from tests.integration.faulty import Arrival, Fault
from tests.integration.hands import Hands
from tests.integration.outside import Endpoint, completion

pytest_plugins = ["tests.integration.outside_server"]


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


def agent(fallback: Any, **budget: Any) -> Agent:
    return Agent("clerk", model="openai:gpt-4o-mini", tools=[look], fallback=fallback, budget=Budget(**budget))


def overrun(agentflow: Harness, fallback: Any, ceiling: dict[str, Any], answers: list[Any]) -> FinishedRun:
    return agentflow.run(agent(fallback, **ceiling), "go", model=scripted(*answers))


LOOKS = [call("look", n=n) for n in range(20)]
SAME = [call("look", n=1) for _ in range(20)]


def too_late(agentflow: Harness) -> Any:
    """A model's answer that comes when the run has no time left."""

    def dawdle(request: object) -> Any:
        with agentflow.database.transaction() as tx:
            tx.connection.exec_driver_sql(
                "update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'"
            )
        return LOOKS[1]

    return dawdle


CEILINGS: list[Any] = [
    pytest.param({"steps": 4}, "budget_steps", LOOKS, id="steps"),
    pytest.param({"tool_calls": 2}, "budget_tool_calls", LOOKS, id="tool_calls"),
    pytest.param({"attempts": 4}, "budget_attempts", LOOKS, id="attempts"),
    pytest.param({"tokens": 4300}, "budget_tokens", [calls(LOOKS[0], text="x" * 4000), *LOOKS], id="tokens"),
    pytest.param({"cost_usd": 0.003}, "budget_cost_usd", [calls(LOOKS[0], text="x" * 4000), *LOOKS], id="cost_usd"),
    pytest.param({"same_call": 1}, "budget_same_call", SAME, id="same_call"),
    pytest.param({"time_s": 60}, "deadline", None, id="time_s"),
]


@pytest.mark.parametrize(("ceiling", "kind", "answers"), CEILINGS)
def test_a_run_is_handed_to_a_person_at_any_ceiling_and_says_which(
    agentflow: Harness, ceiling: dict[str, Any], kind: str, answers: list[Any] | None
) -> None:
    found = overrun(agentflow, Handoff(), ceiling, answers or [LOOKS[0], too_late(agentflow)])

    assert (found.status, found.record.outcome, found.result) == ("done", "handoff", None)
    assert found.error["kind"] == kind
    assert found.error["message"]
    assert found.transitions[-1]["reason"] == kind
    assert {step.status for step in found.steps} <= {"ok", "skipped"}


@pytest.mark.parametrize(("ceiling", "kind", "answers"), CEILINGS)
def test_a_run_ends_with_what_it_has_at_any_ceiling_and_says_which(
    agentflow: Harness, ceiling: dict[str, Any], kind: str, answers: list[Any] | None
) -> None:
    found = overrun(agentflow, Partial(), ceiling, answers or [LOOKS[0], too_late(agentflow)])

    assert (found.status, found.record.outcome, found.error["kind"]) == ("done", "partial", kind)
    texts = isinstance(found.result, str)
    assert found.result == "x" * 4000 if texts else found.result["look"][0].startswith("saw ")


@pytest.mark.parametrize("fallback", [None, Fail()], ids=["none declared", "Fail()"])
@pytest.mark.parametrize(("ceiling", "kind", "answers"), CEILINGS[:1] + CEILINGS[4:5])
def test_a_run_fails_at_a_ceiling_where_nothing_else_is_declared(
    agentflow: Harness, fallback: Any, ceiling: dict[str, Any], kind: str, answers: list[Any]
) -> None:
    found = overrun(agentflow, fallback, ceiling, answers)

    assert (found.status, found.record.outcome, found.result, found.error["kind"]) == ("failed", None, None, kind)


@pytest.mark.parametrize("fallback", [Handoff(), Partial(), Fail()], ids=["handoff", "partial", "fail"])
def test_a_person_is_told_of_a_ceiling_whatever_the_run_came_to(agentflow: Harness, fallback: Any) -> None:
    found = overrun(agentflow, fallback, {"tool_calls": 2}, LOOKS)

    [alert] = agentflow.client.alerts()
    assert (alert["cause"], alert["topic"]) == (f"budget_tool_calls:{found.run_id}", "budget_tool_calls:clerk")
    assert found.error["message"] in alert["message"]


def test_answers_that_stay_unusable_fall_back_too(agentflow: Harness) -> None:
    stubborn = Agent(
        "clerk", model="openai:gpt-4o-mini", result=dict[str, int], fallback=Handoff(), budget=Budget(repairs=1)
    )

    found = agentflow.run(stubborn, "go", model=scripted("no", "no", "no"))

    assert (found.status, found.record.outcome, found.error["kind"]) == ("done", "handoff", "malformed_answers")


def test_what_fails_for_another_reason_does_not_fall_back(agentflow: Harness) -> None:
    @tool(effect="read", name="stumble", on_error="fail")
    def stumble() -> str:
        raise KeyError("no")

    stumbling = Agent("clerk", model="openai:gpt-4o-mini", tools=[stumble], fallback=Handoff())

    found = agentflow.run(stumbling, "go", model=scripted(call("stumble")))

    assert (found.status, found.record.outcome, found.error["kind"]) == ("failed", None, "tool_failed")


def test_a_pipeline_ends_with_its_last_output(agentflow: Harness) -> None:
    @tool(effect="read", name="again")
    def again(seen: str) -> str:
        return f"again: {seen}"

    @tool(effect="read", name="never")
    def never(seen: str) -> str:
        return "never"

    three = Pipeline("three", [look, again, never], fallback=Partial(), budget=Budget(steps=2))
    found = agentflow.run(three, {"n": 1})

    assert (found.status, found.record.outcome, found.result) == ("done", "partial", "again: saw 1")


DEAR, CHEAP = "openai:gpt-4o", "openai:gpt-4o-mini"


def thrifty(fallback: Any, **budget: Any) -> Agent:
    """An agent of which one call costs a cent at most with its own model."""
    return Agent(
        "thrifty", model=DEAR, tools=[look], settings={"max_tokens": 1000}, fallback=fallback, budget=Budget(**budget)
    )


def begun(agentflow: Harness, one: Agent, *answers: Any) -> tuple[Hands, str, list[str]]:
    """Begin a run whose models play one script, and keep a list of those that are asked for."""
    hands = Hands(agentflow, one)
    asked: list[str] = []

    def models(model: str, api_key: str | None = None) -> Any:
        asked.append(model)
        return scripted(*answers)

    hands.runtime.models = models
    return hands, hands.begin(one, "go"), asked


def say_your_name(arrival: Arrival) -> Fault:
    model = json.loads(arrival.body)["model"]
    return completion(f"said by {model}", model)


def test_a_cheaper_model_is_asked_where_the_agents_own_costs_too_much(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers_at("/chat/completions", say_your_name)
    one = thrifty(Model(CHEAP), cost_usd=0.005)
    hands = Hands(agentflow, one)
    hands.runtime.models = lambda model, api_key=None: client_for(model, base_url=endpoint.url)
    run_id = hands.begin(one, "go")

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.outcome, run.result) == ("done", "complete", "said by gpt-4o-mini")
    assert hands.value("select model from agentflow.model_calls") == CHEAP
    assert hands.run_row(run_id)["reserved_cost_usd"] == 0


def test_the_agents_own_model_is_asked_for_as_long_as_it_can_be_paid(agentflow: Harness) -> None:
    spends_most = calls(LOOKS[0], text="x" * 3600)
    hands, run_id, asked = begun(agentflow, thrifty(Model(CHEAP), cost_usd=0.015), spends_most, LOOKS[1], "done")

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.outcome, asked) == ("done", "complete", [DEAR, CHEAP, CHEAP])
    logged = [row["model"] for row in hands.sql("select model from agentflow.model_calls order by step_index")]
    assert logged == asked
    assert run.cost_usd < 0.015


@pytest.mark.parametrize(
    ("then", "status", "outcome"),
    [(None, "failed", None), (Handoff(), "done", "handoff"), (Partial(), "done", "partial")],
    ids=["fail", "handoff", "partial"],
)
def test_where_the_cheaper_model_costs_too_much_as_well_the_run_ends_as_declared(
    agentflow: Harness, then: Any, status: str, outcome: str | None
) -> None:
    fallback = Model(CHEAP) if then is None else Model(CHEAP, then=then)
    hands, run_id, asked = begun(agentflow, thrifty(fallback, cost_usd=0.0001))

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.outcome, asked) == (status, outcome, [])
    assert run.error["kind"] == "budget_cost_usd"


def test_a_cheaper_model_mends_no_other_ceiling(agentflow: Harness) -> None:
    hands, run_id, asked = begun(agentflow, thrifty(Model(CHEAP, then=Handoff()), steps=4), *LOOKS)

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.outcome, run.error["kind"], set(asked)) == ("handoff", "budget_steps", {DEAR})


def test_a_ceiling_that_the_submission_lowers_falls_back_as_the_declared_one_would(agentflow: Harness) -> None:
    found = agentflow.run(agent(Partial()), "go", model=scripted(*LOOKS), budget={"tool_calls": 1})

    assert (found.record.outcome, found.result) == ("partial", {"look": ["saw 0"]})
    assert "its budget is 1" in found.error["message"]


def test_a_run_that_fell_back_passes_its_conversations_turn_on(agentflow: Harness) -> None:
    one = agent(Handoff(), tool_calls=1)
    hands = Hands(agentflow, one, model=scripted(*LOOKS))
    first, second = (hands.submit(one, "go", conversation="c") for _ in range(2))

    hands.work()

    assert [agentflow.client.get(run_id).outcome for run_id in (first, second)] == ["handoff", "handoff"]
