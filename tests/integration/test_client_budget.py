from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from agentflow import Agent, Budget, Client, Fail, Handoff, Model, Partial, Pipeline, SubmissionRefused, tool
from agentflow.declare.fallback import Fallback
from agentflow.store import runs
from agentflow.testing import Harness, call, scripted
from tests.integration.hands import Hands

CEILINGS = Budget(steps=20, tool_calls=12, cost_usd=0.4, time_s=120)


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[look], budget=CEILINGS)
free = Pipeline("free", [look], budget=Budget(cost_usd=None))


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, clerk, free, model=scripted(*[call("look", n=n) for n in range(20)]))


@pytest.fixture
def client(hands: Hands) -> Client:
    return hands.harness.client


@pytest.fixture
def engine(agentflow: Harness) -> Iterator[Engine]:
    """The caller's own engine on the shared database."""
    engine = create_engine(agentflow.database.url)
    yield engine
    engine.dispose()


def budget_of(hands: Hands, run_id: str) -> Any:
    return hands.run_row(run_id)["budget"]


def how_many(hands: Hands) -> int:
    return int(hands.value("select count(*) from agentflow.agent_runs"))


def test_a_run_has_the_declared_budget(hands: Hands) -> None:
    assert budget_of(hands, hands.submit(clerk, "hi")) == CEILINGS.as_json()


def test_a_run_has_the_ceilings_that_its_submission_lowered(hands: Hands) -> None:
    run_id = hands.submit(clerk, "hi", budget={"cost_usd": 0.1, "time_s": 5})

    assert budget_of(hands, run_id) == {**CEILINGS.as_json(), "cost_usd": 0.1, "time_s": 5}


def test_a_budget_in_place_of_a_mapping_states_every_ceiling(hands: Hands) -> None:
    wanted = Budget(2, 2, 2, 2, 0.2, 2, 2, 2)

    assert budget_of(hands, hands.submit(clerk, "hi", budget=wanted)) == wanted.as_json()


def test_no_ceiling_on_the_cost_reaches_the_run_as_none(hands: Hands) -> None:
    assert budget_of(hands, hands.submit(free, {"n": 1}))["cost_usd"] is None


def test_a_run_ends_at_the_ceiling_that_was_lowered(hands: Hands, client: Client) -> None:
    run_id = hands.submit(clerk, "go", budget={"steps": 3})
    hands.work()

    assert client.get(run_id).error["kind"] == "budget_steps"
    assert len(client.steps(run_id)) == 3


def test_a_run_has_until_the_time_that_was_lowered(hands: Hands) -> None:
    run_id = hands.begin(clerk, "go", budget={"time_s": 5})
    claim = hands.claim(run_id)

    assert claim.run.deadline_at is not None
    assert (claim.run.deadline_at - claim.claimed_at).total_seconds() == pytest.approx(5, abs=1)


@pytest.mark.parametrize(
    "budget",
    [
        {"cost_usd": 0.41},
        {"cost_usd": None},
        {"steps": -1},
        {"cost_usd": float("nan")},
        {"dollars": 1},
        Budget(),
        "0.1",
    ],
    ids=repr,
)
def test_a_budget_that_lowers_nothing_is_refused_and_nothing_is_written(
    hands: Hands, client: Client, budget: Any
) -> None:
    with pytest.raises(SubmissionRefused, match="budget"):
        client.submit("clerk", "hi", budget=budget)

    assert how_many(hands) == 0
    assert hands.harness.hints.take() is None


def test_an_idempotency_key_stands_for_the_first_budget(hands: Hands, client: Client) -> None:
    first = client.submit("clerk", "hi", idempotency_key="k", budget={"steps": 5})
    again = client.submit("clerk", "hi", idempotency_key="k", budget={"steps": 3})

    assert (again.run_id, again.created) == (first.run_id, False)
    assert budget_of(hands, first.run_id)["steps"] == 5


def test_a_budget_is_lowered_inside_the_callers_transaction(hands: Hands, client: Client, engine: Engine) -> None:
    with Session(engine) as session:
        run_id = client.submit("clerk", "hi", session=session, budget={"steps": 5}).run_id
        session.commit()

    assert budget_of(hands, run_id)["steps"] == 5


def test_a_refused_budget_leaves_the_callers_transaction_as_it_was(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with engine.begin() as connection:
        kept = client.submit("clerk", "hi", connection=connection).run_id
        with pytest.raises(SubmissionRefused, match="steps=21 is above the 20"):
            client.submit("clerk", "hi", connection=connection, budget={"steps": 21})

    assert (how_many(hands), budget_of(hands, kept)["steps"]) == (1, 20)


@pytest.mark.parametrize(
    ("fallback", "word"),
    [
        (None, "fail"),
        (Fail(), "fail"),
        (Handoff(), "handoff"),
        (Partial(), "partial"),
        (Model("openai:gpt-4o-mini", then=Handoff()), "handoff"),
    ],
    ids=["nothing", "Fail", "Handoff", "Partial", "Model"],
)
def test_a_run_knows_the_fallback_that_was_declared(
    agentflow: Harness, fallback: Fallback | Fail | None, word: str
) -> None:
    agent = Agent("desk", model="openai:gpt-4o", fallback=fallback)
    run_id = Hands(agentflow, agent).submit(agent, "hi")

    locked = agentflow.database.atomically(lambda tx: runs.lock(tx, run_id))
    read = agentflow.database.atomically(lambda tx: runs.read(tx, run_id))

    assert locked is not None
    assert read is not None
    assert locked[0].fallback == read[0].fallback == word


def test_the_newest_registration_says_the_fallback_of_new_runs(agentflow: Harness) -> None:
    found = []
    for fallback in (Handoff(), Fail()):
        agent = Agent("desk", model="openai:gpt-4o", fallback=fallback)
        hands = Hands(agentflow, agent)
        run = hands.run_row(hands.submit(agent, "hi"))
        found.append((run["fallback"], run["agent_version"] == agent.version))

    assert found == [("handoff", True), ("fail", True)]
