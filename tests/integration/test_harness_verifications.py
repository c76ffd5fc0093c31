"""The product's fixture, and runs with verifications: they come to rest without waiting, by production's own code."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Happened, NotHappened, Pipeline, Unknown, tool
from agentflow.domain.verdict import Happened as Verdict
from agentflow.testing import Harness, call, scripted

HOUR_S = 3600.0
ODD: dict[str, Any] = {
    "order_id": "Größe \u0000 7",
    "cents": 10**30,
    "rate": 1e22,
    "nested": {"b": [1, {"a": None}], "a": 1.0},
}
SEEN: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


def refunding(*verdicts: Verdict[str] | NotHappened | Unknown, **declared: Any) -> Pipeline:
    """A refund that anything may arrive of for an hour, and what its verification says in turn."""
    left = list(verdicts)

    @tool(effect="verified", settle_s=HOUR_S, name="refund", **declared)
    def refund(order_id: str, cents: int, rate: float, nested: dict[str, Any]) -> str:
        return "refunded"

    @refund.verify
    def refunded(order_id: str, cents: int, rate: float, nested: dict[str, Any]) -> Any:
        SEEN.append({"order_id": order_id, "cents": cents, "rate": rate, "nested": nested})
        return left.pop(0)

    return Pipeline("refunds", [refund])


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_a_run_that_lost_its_worker_is_verified_at_once(agentflow: Harness, when: str) -> None:
    run = agentflow.run(refunding(Happened("found")), ODD, **{when: "refund"})

    assert (run.status, run.result) == ("done", "found")
    assert [(step.tool_name, step.attempt) for step in run.steps] == [("refund", 1), ("verify", 1)]


def test_what_did_not_happen_is_made_again_and_is_one_effect(agentflow: Harness) -> None:
    run = agentflow.run(refunding(NotHappened()), ODD, crash_after="refund")

    assert (run.result, run.effects("refund"), run.attempts("refund")) == ("refunded", 1, 2)


def test_what_is_not_found_at_once_is_looked_for_once_more_after_its_time(agentflow: Harness) -> None:
    run = agentflow.run(refunding(NotHappened(), Happened("found"), verify_after=True), ODD)

    assert (run.result, run.attempts("refund"), run.attempts("verify")) == ("refunded", 1, 2)
    assert [each["status"] for each in run.steps[1].tries] == ["retried", "ok"]


def test_a_verification_that_lost_its_worker_is_made_again(agentflow: Harness) -> None:
    run = agentflow.run(refunding(Happened("1"), Happened("2")), ODD, crash_before="refund", crash_after="verify")

    assert (run.result, run.attempts("verify"), run.effects("verify")) == ("2", 2, 0)


def test_a_verification_is_handed_the_very_arguments_however_the_time_was_made_to_pass(agentflow: Harness) -> None:
    agentflow.run(refunding(NotHappened(), Happened("found"), verify_after=True), ODD)

    assert SEEN == [ODD, ODD]


def test_a_doubt_that_nobody_can_end_comes_to_rest_with_a_person(agentflow: Harness) -> None:
    agent = Agent("desk", model="openai:gpt-4o-mini", tools=list(refunding(Unknown("closed")).tools.values()))

    run = agentflow.run(agent, "go", model=scripted(call("refund", **ODD), "done"), crash_after="refund")

    assert (run.status, run.record.waiting_reason) == ("waiting_human", "in_doubt")
    assert (run.effects("refund"), [step.tool_name for step in run.steps]) == (1, ["model", "refund", "verify"])
