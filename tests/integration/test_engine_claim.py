from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agentflow import Agent, Budget, Context, Pipeline, tool
from agentflow.declare.registry import Registry
from agentflow.domain.identity import Worker
from agentflow.engine.claiming import Claimed
from agentflow.engine.deadman import boottime
from agentflow.engine.runtime import RECORD_MARGIN_S
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


@tool(effect="unsafe")
def ship(n: int) -> str:
    return f"sent {n}"


@tool(effect="keyed", key="seat:{seat}")
def reserve(ctx: Context, seat: str, row: int = 1) -> str:
    return f"{ctx.idempotency_key} in row {row}"


looking = Pipeline("looking", [look])
shipping = Pipeline("shipping", [ship])
reserving = Pipeline("reserving", [reserve])
hasty = Pipeline("hasty", [look], budget=Budget(attempts=0))

ONE = {"n": 1}


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, looking, shipping, reserving, hasty)


def test_a_claim_hands_a_pending_step_to_one_attempt(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)

    claim = hands.claim(run_id)

    row = hands.step_row(run_id)
    assert (row["status"], row["attempt"], str(row["claim_token"])) == ("running", 1, claim.token)
    assert (str(row["worker_id"]), row["worker_pid"]) == (hands.runtime.worker.worker_id, hands.runtime.worker.pid)
    assert (claim.attempt, claim.lease_until, claim.claimed_at) == (1, row["lease_until"], row["claimed_at"])
    lease = timedelta(seconds=look.timeout_s + RECORD_MARGIN_S)
    assert claim.lease_until - claim.claimed_at == pytest.approx(lease, abs=timedelta(milliseconds=100))


def test_a_claim_starts_the_run_and_its_deadline_and_logs_the_attempt(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)
    before = hands.run_row(run_id)

    claim = hands.claim(run_id)

    after = hands.run_row(run_id)
    assert (before["status"], before["deadline_at"], before["spent_attempts"]) == ("pending", None, 0)
    assert (after["status"], after["spent_attempts"], after["spent_tool_calls"]) == ("running", 1, 1)
    assert after["deadline_at"] - after["started_at"] == pytest.approx(timedelta(seconds=900), abs=timedelta(seconds=1))
    assert claim.run.deadline_at == after["deadline_at"]
    assert [row["status"] for row in hands.harness.client.steps(run_id)[0].tries] == ["running"]


def test_the_local_deadline_counts_from_before_the_claim_was_sent(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)
    before = boottime()

    claimed = hands.try_claim(run_id)

    assert isinstance(claimed, Claimed)
    assert before <= claimed.local_deadline - (look.timeout_s + RECORD_MARGIN_S) <= boottime()


def test_a_second_claim_is_a_duplicate_and_costs_nothing(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)
    hands.claim(run_id)

    assert hands.refusal(run_id) == ("duplicate", "running")
    assert (hands.step_row(run_id)["attempt"], hands.run_row(run_id)["spent_attempts"]) == (1, 1)


@pytest.mark.parametrize("step_index", [1, 99])
def test_a_hint_of_a_step_that_is_not_there_is_a_duplicate(hands: Hands, step_index: int) -> None:
    assert hands.refusal(hands.begin(looking, ONE), step_index) == ("duplicate", "no such step")


def test_a_hint_of_a_run_that_is_not_there_is_a_duplicate(hands: Hands) -> None:
    assert hands.refusal("00000000-0000-7000-8000-000000000000") == ("duplicate", "no such step")


def test_a_parked_step_is_not_due_and_stays_parked(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)
    hands.sql("update agentflow.agent_steps set next_attempt_at = clock_timestamp() + interval '1 hour'")

    assert hands.refusal(run_id) == ("not_due", "")
    assert (hands.step_row(run_id)["status"], hands.step_row(run_id)["attempt"]) == ("pending", 0)


def test_a_run_out_of_budget_is_asked_to_stop_and_fails_with_the_ceiling(hands: Hands) -> None:
    run_id = hands.begin(hasty, ONE)

    assert hands.refusal(run_id) == ("budget", "attempts")
    hands.work()

    run = hands.harness.client.get(run_id)
    assert (run.status, run.error["kind"]) == ("failed", "budget_attempts")
    assert hands.step_row(run_id)["status"] == "skipped"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("pause_requested = true", "paused"),
        ("stop_requested = 'cancel'", "cancel"),
        ("deadline_at = clock_timestamp()", "deadline"),
        ("status = 'done'", "done"),
    ],
)
def test_a_stopped_run_hands_out_no_step(hands: Hands, change: str, detail: str) -> None:
    run_id = hands.begin(looking, ONE)
    hands.sql(f"update agentflow.agent_runs set {change}")

    assert hands.refusal(run_id) == ("run_stopped", detail)
    assert hands.step_row(run_id)["attempt"] == 0


def test_a_run_past_its_deadline_ends_at_the_next_claim_with_that_reason(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp()")

    hands.do(run_id)
    hands.work()

    assert hands.harness.client.get(run_id).error == {
        "kind": "deadline",
        "message": "the run did not end within its 900.0 seconds",
        "step_index": None,
    }


def other_worker(hands: Hands, **means: object) -> Hands:
    other = Hands(hands.harness, looking)
    other.runtime = replace(hands.runtime, worker=Worker.of_this_process(), **means)  # type: ignore[arg-type]
    return other


@pytest.mark.parametrize(
    ("agent", "means", "reason"),
    [
        (
            shipping,
            {"isolated": False},
            "the tool 'ship' is unsafe and runs in prefork pools only; move its queue to one",
        ),
        (looking, {"registry": Registry.of([shipping])}, "does not know the agent 'looking'"),
        (
            looking,
            {"registry": Registry.of([Pipeline("looking", [ship])])},
            "does not know the tool 'look' of 'looking'",
        ),
    ],
    ids=["no process of its own", "unknown agent", "unknown tool"],
)
def test_a_worker_that_cannot_serve_a_step_parks_it_for_another_and_tells_a_person(
    hands: Hands, agent: Pipeline, means: dict[str, object], reason: str
) -> None:
    run_id = hands.begin(agent, ONE)

    answer, detail = other_worker(hands, **means).refusal(run_id)

    assert answer == "unserved"
    assert reason in detail
    assert (hands.step_row(run_id)["waiting_reason"], hands.step_row(run_id)["attempt"]) == ("unserved", 0)
    assert (hands.run_row(run_id)["status"], hands.run_row(run_id)["waiting_reason"]) == ("waiting_tool", "unserved")
    assert hands.causes() == {"unserved"}


def test_a_step_that_one_worker_could_not_serve_is_done_by_another(hands: Hands) -> None:
    run_id = hands.begin(shipping, ONE)
    other_worker(hands, isolated=False).refusal(run_id)
    hands.sql("update agentflow.agent_steps set next_attempt_at = clock_timestamp()")

    hands.work()

    assert hands.harness.client.get(run_id).result == "sent 1"


@pytest.mark.parametrize("effect", ["read", "transactional", "keyed"])
def test_what_harms_nobody_when_late_runs_without_a_process_of_its_own(agentflow: Harness, effect: str) -> None:
    def touch(ctx: Context) -> str:
        return ctx.idempotency_key

    touching = Pipeline("touching", [tool(effect=effect)(touch)])
    hands = Hands(agentflow, touching)
    hands.runtime.isolated = False
    run_id = hands.begin(touching)

    hands.work()

    assert agentflow.client.get(run_id).status == "done"


def test_a_call_ends_with_its_run_where_that_is_sooner(hands: Hands, agentflow: Harness) -> None:
    seen: list[object] = []

    @tool(effect="read", timeout_s=60)
    def when(ctx: Context) -> None:
        seen.append(ctx.deadline_at)

    brief = Pipeline("brief", [when], budget=Budget(time_s=5))

    run = agentflow.run(brief, None)

    assert seen == [run.record.deadline_at]


def test_a_models_call_gets_no_more_time_than_its_run_has_left(agentflow: Harness) -> None:
    timeouts: list[float] = []

    def answer(request: object) -> str:
        timeouts.append(request.timeout_s)  # type: ignore[attr-defined]
        return "done"

    brief = Agent("brief", model="openai:gpt-4o-mini", budget=Budget(time_s=5))
    agentflow.run(brief, "hi", model=scripted(answer))

    assert timeouts == [pytest.approx(5, abs=0.5)]


def test_every_status_of_a_run_is_logged_with_its_reason(hands: Hands) -> None:
    run_id = hands.begin(looking, ONE)
    hands.work()

    logged = [(row["old"], row["new"], row["reason"]) for row in hands.harness.client.transitions(run_id)]

    assert logged == [
        (None, "pending", "submitted"),
        ("pending", "running", "claimed"),
        ("running", "done", "done"),
    ]


def test_two_calls_with_one_key_in_one_answer_are_one_effect(agentflow: Harness) -> None:
    waiter = Agent("waiter", model="openai:gpt-4o-mini", tools=[reserve])
    twice = calls(call("reserve", seat="1A"), call("reserve", seat="1A"))

    run = agentflow.run(waiter, "two seats", model=scripted(twice, "done"))

    assert run.effects("reserve") == 1
    assert [step.output for step in run.steps[1:3]] == ["seat:1A in row 1"] * 2
