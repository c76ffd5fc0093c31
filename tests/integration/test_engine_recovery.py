from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agentflow import Agent, Context, Pipeline, ToolError, tool
from agentflow.declare.tool import Tool
from agentflow.domain.step import Effect
from agentflow.domain.verdict import Unknown
from agentflow.engine.recovery import QUARANTINE_QUEUE, take_back
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands

CALLS: list[int] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def touch(ctx: Context) -> str:
    CALLS.append(ctx.attempt)
    return f"{ctx.idempotency_key} attempt {ctx.attempt}"


def fail(ctx: Context, how: str) -> str:
    if how == "tool says no":
        raise ToolError(ctx.idempotency_key, happened=False)
    if how == "tool cannot say":
        raise ToolError(ctx.idempotency_key)
    if how == "bug":
        raise KeyError(ctx.idempotency_key)
    raise ConnectionResetError(ctx.idempotency_key)


def nobody_knows() -> Unknown:
    return Unknown()


def a_tool(function: Any, effect: str) -> Tool[..., Any]:
    declared = tool(effect=effect)(function)
    if effect == "verified":
        declared.verify(nobody_knows)
    return declared


def one_tool(effect: str, function: Any = touch) -> Pipeline:
    return Pipeline("one", [a_tool(function, effect)])


@tool(effect="read")
def look() -> str:
    return "seen"


GO_ON = ["read", "transactional", "keyed", "idempotent"]
DOUBT = ["verified", "unsafe"]


@pytest.mark.parametrize("effect", GO_ON)
@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_what_may_run_again_does_so_after_a_lost_worker(agentflow: Harness, effect: str, when: str) -> None:
    run = agentflow.run(one_tool(effect), None, **{when: "touch"})

    assert (run.status, run.attempts("touch")) == ("done", 2)
    assert run.result == f"{run.run_id}:0 attempt 2"
    assert [each["status"] for each in run.steps[0].tries] == ["lost", "ok"]


@pytest.mark.parametrize("effect", DOUBT)
@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
def test_what_may_not_run_again_is_in_doubt_after_its_lease(agentflow: Harness, effect: str, when: str) -> None:
    run = agentflow.run(one_tool(effect), None, **{when: "touch"})

    assert (run.status, run.record.waiting_reason, run.steps[0].status) == ("waiting_human", "in_doubt", "in_doubt")
    assert run.attempts("touch") == 1
    assert [alert["cause"].partition(":")[0] for alert in agentflow.client.alerts()] == ["in_doubt"]


@pytest.mark.parametrize("effect", DOUBT)
def test_a_doubt_says_until_when_the_call_may_have_been_sent(agentflow: Harness, effect: str) -> None:
    agent = one_tool(effect)
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))
    hands.lose(claim, Evidence.LEASE_OVER)

    error = hands.step_row(claim.run.run_id)["error"]

    assert (error["kind"], error["happened"]) == ("lost", None)
    assert datetime.fromisoformat(error["sent_until"]) < datetime.now(UTC)
    until = f"the call may have been sent at any time until {error['sent_until']}"
    assert error["message"] == f"its lease ended without an outcome; {until}"


def test_a_doubt_over_a_call_that_did_not_end_in_time_is_a_timeout(agentflow: Harness) -> None:
    agent = one_tool("unsafe")
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))

    hands.lose(claim, Evidence.OVERRUN)

    error = hands.step_row(claim.run.run_id)["error"]
    assert (error["kind"], error["happened"]) == ("timeout", None)
    assert "it did not end in time" in error["message"]


@pytest.mark.parametrize("evidence", list(Evidence))
def test_a_transactional_tool_is_never_in_doubt(agentflow: Harness, evidence: Evidence) -> None:
    agent = one_tool("transactional")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)

    for _ in range(3):
        hands.lose(hands.claim(run_id), evidence)
        assert hands.step_row(run_id)["status"] == "pending"
        hands.sql("update agentflow.agent_steps set next_attempt_at = null")


def early(effect: str) -> set[Evidence]:
    """The evidence on which a lease ends early, by the protocol's first table."""
    if effect in {"read", "transactional", "keyed"}:
        return {Evidence.WORKER_DEAD, Evidence.CHILD_DEAD}
    return {Evidence.CHILD_DEAD} if effect == "idempotent" else set()


@pytest.mark.parametrize("effect", [effect.value for effect in Effect])
@pytest.mark.parametrize("evidence", [Evidence.WORKER_DEAD, Evidence.CHILD_DEAD])
def test_a_lease_ends_early_only_on_the_word_that_the_class_allows(
    agentflow: Harness, effect: str, evidence: Evidence
) -> None:
    agent = one_tool(effect)
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))

    hands.lose(claim, evidence)

    status = hands.step_row(claim.run.run_id)["status"]
    assert status == ("pending" if evidence in early(effect) else "running")


@pytest.mark.parametrize("effect", [effect.value for effect in Effect])
def test_a_lease_that_is_not_over_on_the_databases_clock_is_not_over(agentflow: Harness, effect: str) -> None:
    agent = one_tool(effect)
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))
    run_id, attempt = claim.run.run_id, claim.attempt

    answer = agentflow.database.atomically(lambda tx: take_back(tx, run_id, 0, attempt, Evidence.LEASE_OVER))

    assert (answer, hands.step_row(run_id)["status"]) == (None, "running")


def test_a_step_that_killed_its_worker_is_poison_after_three_deaths_alone(agentflow: Harness) -> None:
    agent = one_tool("read")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    deaths = []

    for _ in range(4):
        hands.lose(hands.claim(run_id))
        deaths.append((hands.step_row(run_id)["quarantined"], hands.step_row(run_id)["deaths"]))
    hands.work()

    assert deaths == [(True, 0), (True, 1), (True, 2), (True, 3)]
    assert hands.step_row(run_id)["error"] == {
        "kind": "poison",
        "message": "'touch' killed its worker 3 times while it ran alone",
        "happened": None,
    }
    assert agentflow.client.get(run_id).status == "failed"
    assert hands.causes() == {"poison"}


def test_a_step_that_shared_a_process_with_the_killer_is_unharmed(agentflow: Harness) -> None:
    agent = one_tool("read")
    hands = Hands(agentflow, agent)
    killer, innocent = hands.begin(agent), hands.begin(agent)

    for claim in (hands.claim(killer), hands.claim(innocent)):
        hands.lose(claim)
    for _ in range(3):
        hands.lose(hands.claim(killer))
    hands.work()

    assert [agentflow.client.get(each).status for each in (killer, innocent)] == ["failed", "done"]
    assert (hands.step_row(innocent)["attempt"], hands.step_row(innocent)["deaths"]) == (2, 0)


def test_a_step_taken_back_is_hinted_to_the_quarantine(agentflow: Harness) -> None:
    agent = one_tool("read")
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))
    run_id, attempt = claim.run.run_id, claim.attempt

    hints = agentflow.database.atomically(lambda tx: take_back(tx, run_id, 0, attempt, Evidence.CHILD_DEAD))

    assert hints is not None
    [hint] = hints

    assert (hint.queue, hint.task_name, hint.run_id, hint.step_index) == (QUARANTINE_QUEUE, "step.touch", run_id, 0)


def test_a_models_call_is_read_and_runs_again_and_its_lost_attempt_is_logged(agentflow: Harness) -> None:
    agent = Agent("thinker", model="openai:gpt-4o-mini")

    run = agentflow.run(agent, "hi", model=scripted("done"), crash_after="model")

    assert (run.status, run.result) == ("done", "done")
    assert [each["status"] for each in run.steps[0].tries] == ["lost", "ok"]


@pytest.mark.parametrize("how", ["tool cannot say", "bug"])
@pytest.mark.parametrize(
    ("effect", "happened"), [("read", False), ("transactional", False), ("keyed", None), ("idempotent", None)]
)
def test_a_failed_call_is_an_error_that_says_whether_it_may_have_happened(
    agentflow: Harness, effect: str, happened: bool | None, how: str
) -> None:
    run = agentflow.run(one_tool(effect, fail), {"how": how})

    assert (run.status, run.steps[0].status, run.steps[0].error["happened"]) == ("failed", "error", happened)


@pytest.mark.parametrize("how", ["tool cannot say", "bug", "connection cut"])
@pytest.mark.parametrize("effect", sorted(DOUBT))
def test_a_failed_call_that_may_have_happened_is_in_doubt_where_a_repeat_may_do_it_twice(
    agentflow: Harness, effect: str, how: str
) -> None:
    run = agentflow.run(one_tool(effect, fail), {"how": how})

    assert (run.status, run.steps[0].status, run.attempts("fail")) == ("waiting_human", "in_doubt", 1)
    assert [alert["topic"] for alert in agentflow.client.alerts()] == ["in_doubt:fail"]


@pytest.mark.parametrize("effect", [effect.value for effect in Effect])
def test_a_tool_that_is_sure_that_nothing_happened_is_believed(agentflow: Harness, effect: str) -> None:
    run = agentflow.run(one_tool(effect, fail), {"how": "tool says no"})

    assert (run.status, run.steps[0].error["happened"]) == ("failed", False)


def test_a_bug_in_a_tool_is_told_to_a_person(agentflow: Harness) -> None:
    run = agentflow.run(one_tool("keyed", fail), {"how": "bug"})

    [alert] = agentflow.client.alerts()
    assert alert["message"] == f"'fail' failed (bug): KeyError: '{run.run_id}:0'"
    assert (alert["run_id"], alert["step_index"]) == (run.run_id, 0)


def test_a_sibling_of_a_doubt_goes_on_and_the_run_waits(agentflow: Harness) -> None:
    agent = Agent("clerk", model="openai:gpt-4o-mini", tools=[a_tool(touch, "unsafe"), look])
    model = scripted(calls(call("touch"), call("look")), "done")

    run = agentflow.run(agent, "go", model=model, crash_after="touch")

    assert [step.status for step in run.steps] == ["ok", "in_doubt", "ok"]
    assert (run.status, run.record.waiting_reason) == ("waiting_human", "in_doubt")
