"""The engine and its gate: what a denied step costs, what is readable of it, and who wakes it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from agentflow import Agent, Breaker, Budget, Limits, Rate
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import Completed, Failed, Retrying
from agentflow.engine.executor import execute_step
from agentflow.engine.visiting import QUOTA_HOLD_S
from agentflow.gate.redis_gate import RedisGate
from agentflow.local.address import choose_port
from agentflow.policy.recovery import Evidence
from agentflow.store import holds
from agentflow.testing import Harness, scripted
from tests.integration.faulty import Answer, Arrival, Fault
from tests.integration.gate_visits import wait_until
from tests.integration.gated import OPENS_AT_TWO, PAY, drain, due_in_s, obey, paying, state, statuses, swept
from tests.integration.hands import Hands, Interrupted
from tests.integration.outside import Endpoint, make_due, standing, tries

pytest_plugins = ["tests.integration.gate_server", "tests.integration.gated_runs", "tests.integration.outside_server"]


def test_an_open_breaker_parks_the_step_at_no_cost_and_says_why(begun: Any, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503))
    hands, (*failing, run_id) = begun(paying(), 3)
    for each in failing:
        assert isinstance(hands.do(each), Retrying)

    assert hands.do(run_id) == Refused(ClaimAnswer.DENIED, "breaker_open")

    assert standing(hands, run_id) == ("waiting_tool", "breaker_open")
    step = hands.step_row(run_id)
    assert (step["status"], step["attempt"], step["waiting_reason"]) == ("pending", 0, "breaker_open")
    assert hands.harness.client.get(run_id).attempts == 0
    assert len(endpoint.arrivals) == 2
    assert [row["reason"] for row in hands.harness.client.transitions(run_id)][-1] == "breaker_open"
    assert due_in_s(hands, run_id) > 55


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (Answer(503), True),
        (Answer(500), True),
        (Answer(400), False),
        (Answer(401), False),
        (Answer(404), False),
        (Answer(429), False),
    ],
    ids=["503", "500", "400", "401", "404", "429"],
)
def test_the_breaker_counts_what_the_other_side_did_wrong_and_nothing_else(
    begun: Any, endpoint: Endpoint, answer: Fault, opens: bool
) -> None:
    endpoint.answers(answer)
    hands, run_ids = begun(paying(), 3)

    for run_id in run_ids:
        hands.do(run_id)

    assert state(hands).breaker == ("open" if opens else "closed")
    assert len(endpoint.arrivals) == (2 if opens else 3)


def test_a_herd_behind_an_open_breaker_costs_no_message_and_drains_at_the_tools_limit(
    begun: Any, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(503))
    hands, run_ids = begun(paying(slots=4), 24)
    for run_id in run_ids:
        hands.do(run_id)
    assert {hands.step_row(run_id)["waiting_reason"] for run_id in run_ids[2:]} == {"breaker_open"}
    hands.sql("update agentflow.agent_steps set next_attempt_at = now() where waiting_reason = 'breaker_open'")
    # The two whose calls failed may be due again by now.
    assert not {hint.run_id for hint in swept(hands)} & set(run_ids[2:])

    endpoint.answers(Answer(200))
    hands.runtime.gate.close_breaker(PAY)
    most = drain(hands)

    assert set(statuses(hands, run_ids[2:])) == {"done"}
    # What a sweep has woken, and what the first call to leave wakes beside it.
    assert 0 < most <= 8
    assert state(hands).breaker == "closed"
    assert {hands.harness.client.get(run_id).attempts for run_id in run_ids[2:]} == {1}


def test_half_open_one_probe_goes_and_its_answer_wakes_the_others(begun: Any, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503), Answer(503), Answer(200))
    hands, run_ids = begun(paying(breaker=Breaker(failures=2, within_s=60, open_s=0.8)), 5)
    for run_id in run_ids:
        hands.do(run_id)
    wait_until(lambda: state(hands).breaker == "half_open")
    make_due(hands)

    probe = [hint for hint in swept(hands) if hint.run_id in run_ids[2:]]
    assert len(probe) == 1
    obey(hands, probe)

    assert state(hands).breaker == "closed"
    hands.work()
    assert set(statuses(hands, run_ids)) == {"done"}


def test_a_breaker_that_tools_share_stops_them_all(begun: Any, agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503))
    hands, run_ids = begun(paying("pay", depends_on="bank"), 2)
    refunding = paying("refund", depends_on="bank")
    other = Hands(agentflow, refunding)
    other.runtime.gate = hands.runtime.gate
    run_id = other.begin(refunding, {"url": endpoint.url})
    for each in run_ids:
        hands.do(each)

    assert other.do(run_id) == Refused(ClaimAnswer.DENIED, "breaker_open")


def test_one_tools_breaker_leaves_another_tool_alone(begun: Any, agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503), Answer(503), Answer(200))
    hands, run_ids = begun(paying("pay"), 2)
    refunding = paying("refund")
    other = Hands(agentflow, refunding)
    other.runtime.gate = hands.runtime.gate
    run_id = other.begin(refunding, {"url": endpoint.url})
    for each in run_ids:
        hands.do(each)

    assert isinstance(other.do(run_id), Completed)


def test_agents_of_one_model_share_its_breaker(agentflow: Harness, gate: RedisGate) -> None:
    limits = Limits(breaker=OPENS_AT_TWO)
    agents = [Agent(name, model="openai:gpt-4o-mini", limits=limits) for name in ("one", "two")]
    hands = Hands(agentflow, *agents, model=scripted(TimeoutError()))
    hands.runtime.gate = gate
    first, second, third = (hands.begin(agent, "go") for agent in (agents[0], agents[0], agents[1]))
    hands.do(first)
    hands.do(second)

    assert hands.do(third) == Refused(ClaimAnswer.DENIED, "breaker_open")
    assert hands.run_row(third)["reserved_cost_usd"] == 0


def test_without_credit_the_breaker_is_held_open_for_other_runs(begun: Any, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(402))
    hands, (first, second) = begun(paying(), 2)

    assert isinstance(hands.do(first), Failed)
    assert hands.do(second) == Refused(ClaimAnswer.DENIED, "breaker_open")

    assert state(hands).reason == "quota"
    assert QUOTA_HOLD_S - 5 < state(hands).open_for_s <= QUOTA_HOLD_S
    assert hands.harness.client.get(first).error["kind"] == "quota"


def test_without_a_free_slot_the_step_is_parked_and_woken_by_the_one_that_leaves(
    begun: Any, endpoint: Endpoint
) -> None:
    hands, (first, second) = begun(paying(slots=1), 2)
    answers: list[Any] = []
    hands.runtime.reached = Interrupted("before_call", lambda _: answers.append(hands.do(second)))

    hands.do(first)

    assert answers == [Refused(ClaimAnswer.DENIED, "slots_full")]
    assert hands.harness.hints.take() == Hint("step.pay", "tool.pay", second, 0)
    assert isinstance(hands.do(second), Completed)
    assert (state(hands).in_use, state(hands).waiting) == (0, 0)


def test_a_worker_holds_no_more_of_a_tool_than_its_pool_allows(begun: Any, agentflow: Harness) -> None:
    hands, (first, second, third) = begun(paying(), 3)
    hands.runtime.pool_slots = 1
    elsewhere = agentflow.runtime(*hands.runtime.registry.agents.values())
    elsewhere.gate, elsewhere.pool_slots = hands.runtime.gate, 1
    answers: list[Any] = []

    def meanwhile(_: object) -> None:
        answers.append(hands.do(second))
        answers.append(execute_step(elsewhere, third, 0))

    hands.runtime.reached = Interrupted("before_call", meanwhile)
    hands.do(first)

    assert answers[0] == Refused(ClaimAnswer.DENIED, "pool_full")
    assert isinstance(answers[1], Completed)


def test_a_rate_parks_what_comes_too_soon_until_its_time(begun: Any, endpoint: Endpoint) -> None:
    hands, (first, second) = begun(paying(rates=(Rate(1, per_s=40),)), 2)

    assert isinstance(hands.do(first), Completed)
    assert hands.do(second) == Refused(ClaimAnswer.DENIED, "rate_limit")

    assert 38 < due_in_s(hands, second) <= 40
    make_due(hands)
    assert swept(hands) == []


def test_a_rate_by_key_is_each_keys_own(begun: Any, endpoint: Endpoint) -> None:
    pipeline = paying(rates=(Rate(1, per_s=40, key="{seat}"),))
    hands, (first, again) = begun(pipeline, 2, seat="1A")
    other = hands.begin(pipeline, {"url": endpoint.url, "seat": "2B"})

    assert isinstance(hands.do(first), Completed)
    assert isinstance(hands.do(other), Completed)
    assert hands.do(again) == Refused(ClaimAnswer.DENIED, "rate_limit")


def test_retries_past_the_tools_share_are_parked_and_first_tries_go_on(begun: Any, endpoint: Endpoint) -> None:
    limits: dict[str, Any] = {"breaker": Breaker(failures=100), "retry_share": 0.0, "retry_floor": 1}
    endpoint.answers(Answer(503))
    hands, run_ids = begun(paying(**limits), 3)
    for run_id in run_ids[:2]:
        hands.do(run_id)
    make_due(hands)

    assert isinstance(hands.do(run_ids[0]), Retrying)
    assert hands.do(run_ids[1]) == Refused(ClaimAnswer.DENIED, "retry_budget")
    assert isinstance(hands.do(run_ids[2]), Retrying)


def test_a_429_holds_every_run_back_until_its_time(begun: Any, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(429, {"Retry-After": "30"}))
    hands, (first, *others) = begun(paying(), 4)
    hands.do(first)

    for run_id in others:
        assert hands.do(run_id) == Refused(ClaimAnswer.DENIED, "throttled")
    make_due(hands)

    assert len(endpoint.arrivals) == 1
    assert not [hint for hint in swept(hands) if hint.run_id in others]


def test_a_storm_of_429_makes_no_call_before_its_time_and_hardly_one_too_many(begun: Any, endpoint: Endpoint) -> None:
    began: list[float] = []
    too_soon: list[float] = []

    def closed_for_a_while(arrival: Arrival) -> Fault:
        began.append(arrival.at)
        left_s = began[0] + 0.8 - arrival.at
        if left_s <= 0:
            return Answer(200)
        too_soon.append(left_s)
        return Answer(429, {"retry-after-ms": str(int(left_s * 1000) + 1)})

    endpoint.answers(closed_for_a_while)
    hands, run_ids = begun(paying(slots=8), 30)
    for run_id in run_ids:
        hands.do(run_id)

    def all_done() -> bool:
        drain(hands)
        return set(statuses(hands, run_ids)) == {"done"}

    wait_until(all_done, timeout_s=20)

    assert len(too_soon) == 1
    assert len(endpoint.arrivals) <= len(run_ids) * 1.1


def test_a_paused_tool_is_not_called_and_its_release_wakes_who_waited(begun: Any, endpoint: Endpoint) -> None:
    hands, run_ids = begun(paying(), 2)
    hands.harness.database.atomically(lambda tx: holds.hold(tx, PAY, "mending", "ops"))

    for run_id in run_ids:
        assert hands.do(run_id) == Refused(ClaimAnswer.DENIED, "tool_paused")
    assert standing(hands, run_ids[0]) == ("waiting_tool", "tool_paused")
    make_due(hands)
    assert swept(hands) == []
    assert hands.harness.database.atomically(lambda tx: holds.release(tx, PAY))
    obey(hands, swept(hands))

    assert statuses(hands, run_ids) == ["done", "done"]
    assert {hands.harness.client.get(run_id).attempts for run_id in run_ids} == {1}


def test_a_pause_lets_calls_that_have_begun_end(begun: Any, endpoint: Endpoint) -> None:
    hands, (run_id,) = begun(paying())
    database = hands.harness.database
    hands.runtime.reached = Interrupted(
        "before_call", lambda _: database.atomically(lambda tx: holds.hold(tx, PAY, "mending", "ops"))
    )

    assert isinstance(hands.do(run_id), Completed)


def test_a_run_that_waits_at_the_gate_ends_at_its_deadline(begun: Any, endpoint: Endpoint) -> None:
    hands, (run_id,) = begun(paying())
    hands.runtime.gate.hold_open(PAY, 600, "mending")
    hands.do(run_id)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp()")

    obey(hands, swept(hands))

    assert hands.harness.client.get(run_id).error["kind"] == "deadline"


@pytest.fixture
def nowhere() -> RedisGate:
    return RedisGate(f"redis://127.0.0.1:{choose_port()}/0", draw=lambda: 0.5)


def test_without_redis_a_cautious_tool_waits_and_goes_on_when_it_is_back(
    begun: Any, nowhere: RedisGate, endpoint: Endpoint
) -> None:
    hands, (run_id,) = begun(paying(when_unreachable="closed"))
    gate, hands.runtime.gate = hands.runtime.gate, nowhere

    assert hands.do(run_id) == Refused(ClaimAnswer.DENIED, "gate_unavailable")
    assert standing(hands, run_id) == ("waiting_tool", "gate_unavailable")
    assert 3.5 < due_in_s(hands, run_id) <= 6
    assert endpoint.arrivals == []
    hands.runtime.gate = gate
    make_due(hands)
    obey(hands, swept(hands))

    assert statuses(hands, [run_id]) == ["done"]


def test_without_redis_a_bold_tool_is_called(begun: Any, nowhere: RedisGate, endpoint: Endpoint) -> None:
    hands, (run_id,) = begun(paying(when_unreachable="open"))
    hands.runtime.gate = nowhere

    assert isinstance(hands.do(run_id), Completed)
    assert len(endpoint.arrivals) == 1


def test_a_redis_that_forgot_everything_in_the_middle_of_a_call_loses_nothing(
    begun: Any, gate_redis: redis.Redis, endpoint: Endpoint
) -> None:
    hands, run_ids = begun(paying(slots=1), 2)
    hands.runtime.reached = Interrupted("before_call", lambda _: (hands.do(run_ids[1]), gate_redis.flushall()))

    hands.do(run_ids[0])
    make_due(hands)
    obey(hands, swept(hands))

    assert statuses(hands, run_ids) == ["done", "done"]
    assert len(endpoint.arrivals) == 2


def test_steps_that_run_out_of_budget_at_the_gate_leave_no_one_behind(begun: Any, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503))
    pipeline = paying(breaker=Breaker(failures=100))
    pipeline.budget = Budget(attempts=3)
    hands, run_ids = begun(pipeline, 3)

    hands.work()

    assert {hands.harness.client.get(run_id).error["kind"] for run_id in run_ids} == {"budget_attempts"}
    assert (state(hands).in_use, state(hands).waiting) == (0, 0)
    assert {tuple(tries(hands, run_id)) for run_id in run_ids} == {("retried", "retried", "error")}


def test_an_attempt_that_was_lost_counts_against_no_breaker(begun: Any) -> None:
    hands, (run_id,) = begun(paying())

    for _ in range(3):
        hands.lose(hands.claim(run_id), Evidence.WORKER_DEAD)

    assert hands.runtime.gate.capacity([PAY]) == {PAY: 16}
