"""A client's hand on tools: pausing and resuming them, and what waits before them."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import timedelta

import pytest

from agentflow import Agent, Client, Pipeline, SubmissionRefused, UnknownTool, tool
from agentflow.client import Resumed
from agentflow.gate.fleet import fleet_gate
from agentflow.gate.redis_gate import RedisGate
from agentflow.store.reads import StepRecord
from agentflow.testing import Harness, scripted
from agentflow.testing.hints import CollectedHints
from tests.integration.hands import Hands

pytest_plugins = ["tests.integration.gate_server"]

# Whose worker registers the tools.
pytestmark = pytest.mark.usefixtures("hands")


@tool(effect="read", depends_on="psp")
def pay() -> str:
    return "paid"


@tool(effect="read", depends_on="psp")
def refund() -> str:
    return "refunded"


paying = Pipeline("paying", [pay])
refunding = Pipeline("refunding", [refund])
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[pay])
AGENTS = (paying, refunding, clerk)


@pytest.fixture
def fleet(gate_url: str, gate: RedisGate) -> RedisGate:
    return fleet_gate(gate_url, "agentflow", timeout_s=5.0)


@pytest.fixture
def operator(agentflow: Harness, gate_url: str) -> Iterator[Client]:
    with Client(database_url=agentflow.database.url, redis_url=gate_url, hints=CollectedHints()) as client:
        yield client


@pytest.fixture
def hands(agentflow: Harness, fleet: RedisGate) -> Hands:
    hands = Hands(agentflow, *AGENTS, model=scripted("hello"))
    hands.runtime.gate = fleet
    return hands


def begun(hands: Hands, agent: Pipeline | Agent) -> str:
    """Submit a run, and let the gate answer its first step."""
    run_id = hands.begin(agent, "hi")
    hands.do(run_id)
    return run_id


def only_step(client: Client, run_id: str) -> StepRecord:
    [step] = client.steps(run_id)
    return step


def test_paused_tools_steps_wait_until_it_is_resumed(hands: Hands, operator: Client) -> None:
    operator.tools.pause("pay", reason="maintenance", by="ada")
    run_id = begun(hands, paying)
    waiting = only_step(operator, run_id)

    resumed = operator.tools.resume("pay")
    hands.do(run_id)

    assert (waiting.status, waiting.waiting_reason, waiting.attempt) == ("pending", "tool_paused", 0)
    assert resumed == Resumed(was_paused=True, breaker="closed")
    assert only_step(operator, run_id).output == "paid"


def test_model_is_paused_by_its_name(hands: Hands, operator: Client) -> None:
    operator.tools.pause("openai:gpt-4o-mini", reason="too dear")
    assert only_step(operator, begun(hands, clerk)).waiting_reason == "tool_paused"


def test_paused_tools_say_who_paused_them_since_when_and_why(operator: Client) -> None:
    operator.tools.pause("refund", reason="first", by="ada")
    operator.tools.pause("pay", reason="maintenance")
    operator.tools.pause("refund", reason="fraud", by="bob")

    held = [(row["bulkhead"], row["reason"], row["held_by"]) for row in operator.tools.held()]

    assert held == [("pay", "maintenance", getpass.getuser()), ("refund", "fraud", "bob")]


def test_resume_closes_a_breaker_that_was_held_open_and_wakes_all_who_wait_for_it(
    hands: Hands, operator: Client, fleet: RedisGate
) -> None:
    fleet.hold_open("psp", 3600, "quota")
    runs = [begun(hands, paying), begun(hands, refunding)]
    parked = [only_step(operator, run_id) for run_id in runs]
    assert all(
        step.next_attempt_at and step.next_attempt_at > step.created_at + timedelta(hours=0.9) for step in parked
    )

    resumed = operator.tools.resume("pay")
    for run_id in runs:
        hands.do(run_id)

    assert resumed == Resumed(was_paused=False, breaker="open", breaker_reason="quota")
    assert [only_step(operator, run_id).output for run_id in runs] == ["paid", "refunded"]


def test_resuming_what_goes_on_anyway_finds_nothing_to_do(operator: Client) -> None:
    assert operator.tools.resume("pay") == Resumed(was_paused=False, breaker="closed")


def test_client_without_redis_pauses_and_resumes_and_leaves_the_breaker(hands: Hands, agentflow: Harness) -> None:
    agentflow.client.tools.pause("pay", reason="maintenance")
    run_id = begun(hands, paying)

    resumed = agentflow.client.tools.resume("pay")

    assert resumed == Resumed(was_paused=True, breaker=None)
    assert hands.do(run_id) is not None
    assert only_step(agentflow.client, run_id).output == "paid"


def test_client_whose_redis_does_not_answer_resumes_what_is_paused(agentflow: Harness) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    with Client(database_url=agentflow.database.url, redis_url=nowhere, hints=CollectedHints()) as client:
        client.tools.pause("pay", reason="maintenance")
        assert client.tools.resume("pay") == Resumed(was_paused=True, breaker=None)
        assert client.tools.held() == []


def test_name_that_no_worker_has_registered_is_refused_with_those_there_are(operator: Client) -> None:
    known = "'openai:gpt-4o-mini', 'outbox.email', 'outbox.webhook', 'pay', 'refund'"
    with pytest.raises(UnknownTool, match=f"'pya'; registered: {known}"):
        operator.tools.pause("pya", reason="maintenance")
    with pytest.raises(UnknownTool, match="'pya'"):
        operator.tools.resume("pya")
    assert operator.tools.held() == []


def test_what_is_paused_can_be_resumed_though_no_worker_registers_it_any_more(
    operator: Client, agentflow: Harness
) -> None:
    operator.tools.pause("pay", reason="maintenance")
    with agentflow.database.transaction() as tx:
        tx.connection.exec_driver_sql("delete from agentflow.agents")
    assert operator.tools.resume("pay").was_paused


@pytest.mark.parametrize("reason", ["", "a\nb", "x" * 501, None], ids=["empty", "two lines", "too long", "none"])
def test_reason_that_nobody_could_read_is_refused(operator: Client, reason: str | None) -> None:
    with pytest.raises(SubmissionRefused, match="give a str of 1 to 500 printable characters"):
        operator.tools.pause("pay", reason=reason)  # type: ignore[arg-type]
