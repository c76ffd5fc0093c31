from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentflow import Context, Pipeline, tool
from agentflow.domain.claim import Claim
from agentflow.domain.identity import new_token
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, Fenced, InDoubt
from agentflow.engine.late import keep_late_outcome
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness
from tests.integration.hands import Hands, Interrupted

EFFECTS = ["read", "keyed", "idempotent"]


@tool(effect="unsafe", key="parcel:{n}")
def ship(n: int) -> str:
    return f"sent {n}"


@tool(effect="transactional")
def note(ctx: Context) -> str:
    ctx.scratchpad["noted"] = ctx.attempt
    return f"attempt {ctx.attempt}"


def touch(ctx: Context) -> str:
    return f"{ctx.idempotency_key} attempt {ctx.attempt}"


def touching(effect: str) -> Pipeline:
    return Pipeline("touching", [tool(effect=effect)(touch)])


shipping = Pipeline("shipping", [ship])
noting = Pipeline("noting", [note])


def late_results(hands: Hands, run_id: str) -> list[Any]:
    return [each["late_result"] for each in hands.harness.client.steps(run_id)[0].tries]


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_record_of_an_older_attempt_is_refused_and_kept_as_evidence(agentflow: Harness, effect: str) -> None:
    agent = touching(effect)
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    overtaken: list[Claim] = []

    def lose(claim: Claim) -> None:
        overtaken.append(claim)
        hands.lose(claim)
        hands.work()

    hands.runtime.reached = Interrupted("after_call", lose)

    ending = hands.do(run_id)

    key = overtaken[0].step.idempotency_key
    assert ending == Fenced(Completed(f"{key} attempt 1"))
    assert agentflow.client.get(run_id).result == f"{key} attempt 2"
    assert late_results(hands, run_id) == [{"output": f"{key} attempt 1"}, None]


@pytest.mark.parametrize(
    ("effect", "told"), [("read", set()), ("keyed", {"late_result"}), ("idempotent", {"late_result"})]
)
def test_an_effect_that_took_place_after_it_was_given_up_is_told_to_a_person(
    agentflow: Harness, effect: str, told: set[str]
) -> None:
    agent = touching(effect)
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))
    hands.lose(claim)

    keep_late_outcome(hands.runtime, claim, Completed("late"))

    assert hands.causes() == told


@pytest.mark.parametrize(
    ("happened", "told"), [(True, {"late_result"}), (False, set())], ids=["happened", "did not happen"]
)
def test_a_late_failure_is_told_where_its_effect_took_place_all_the_same(
    agentflow: Harness, happened: bool, told: set[str]
) -> None:
    agent = touching("keyed")
    hands = Hands(agentflow, agent)
    claim = hands.claim(hands.begin(agent))
    hands.lose(claim)

    keep_late_outcome(hands.runtime, claim, Failed("tool_error", "half way", happened))

    assert late_results(hands, claim.run.run_id)[0]["error"]["message"] == "half way"
    assert hands.causes() == told


def test_a_record_with_another_token_of_the_same_attempt_is_refused(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    claim = hands.claim(hands.begin(shipping, {"n": 1}))

    assert hands.record(replace(claim, token=new_token())) is None
    assert hands.step_row(claim.run.run_id)["status"] == "running"
    assert hands.record(claim) is not None


def test_a_transactional_tool_behind_a_lost_fence_is_not_even_called(agentflow: Harness) -> None:
    hands = Hands(agentflow, noting)
    run_id = hands.begin(noting)

    def lose(claim: Claim) -> None:
        hands.lose(claim)
        hands.work()

    hands.runtime.reached = Interrupted("before_record", lose)

    assert isinstance(hands.do(run_id), Fenced)
    run = agentflow.client.get(run_id)
    assert (run.result, run.scratchpad) == ("attempt 2", {"noted": 2})


def in_doubt(hands: Hands) -> Claim:
    claim = hands.claim(hands.begin(shipping, {"n": 1}))
    hands.lose(claim, Evidence.LEASE_OVER)
    assert hands.step_row(claim.run.run_id)["status"] == "in_doubt"
    return claim


def key_status(hands: Hands) -> list[str]:
    return [row["status"] for row in hands.sql("select status from agentflow.idempotency_records")]


@pytest.mark.parametrize(
    ("outcome", "step", "run", "keys"),
    [
        (Completed("sent 1"), "ok", "done", ["done"]),
        (Failed("tool_error", "no stamps", happened=False), "error", "failed", []),
    ],
    ids=["happened", "did not happen"],
)
def test_the_very_attempt_in_doubt_resolves_the_doubt(
    agentflow: Harness, outcome: AttemptOutcome, step: str, run: str, keys: list[str]
) -> None:
    hands = Hands(agentflow, shipping)
    claim = in_doubt(hands)

    hands.record(claim, outcome)
    hands.work()

    assert hands.step_row(claim.run.run_id)["status"] == step
    assert agentflow.client.get(claim.run.run_id).status == run
    assert key_status(hands) == keys


def test_a_doubt_that_only_says_so_again_changes_nothing(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    claim = in_doubt(hands)
    before = hands.step_row(claim.run.run_id)

    assert hands.record(claim, InDoubt("timeout", "no answer")) is None
    assert hands.step_row(claim.run.run_id) == before


def test_an_outcome_that_comes_after_the_step_was_ended_by_others_is_evidence_and_changes_nothing(
    agentflow: Harness,
) -> None:
    agent = touching("keyed")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    hands.sql("update agentflow.agent_steps set quarantined = true, deaths = 2")

    def poison(claim: Claim) -> None:
        hands.lose(claim)
        hands.work()

    hands.runtime.reached = Interrupted("after_call", poison)

    ending = hands.do(run_id)

    assert isinstance(ending, Fenced)
    assert (hands.step_row(run_id)["status"], hands.step_row(run_id)["error"]["kind"]) == ("error", "poison")
    assert late_results(hands, run_id) == [{"output": f"{run_id}:0 attempt 1"}]
    assert hands.causes() == {"poison", "late_result"}


def test_an_outcome_is_recorded_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    claim = hands.claim(hands.begin(shipping, {"n": 1}))
    hands.record(claim, Completed("sent 1"))

    assert hands.record(claim, Completed("sent 2")) is None
    assert hands.step_row(claim.run.run_id)["tool_output"] == "sent 1"
