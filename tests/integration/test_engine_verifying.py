"""A call that may have happened is asked about, by a step of its own, and what that says ends the doubt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from agentflow import Budget, Context, Pipeline
from agentflow.domain.outcome import InDoubt, Retrying
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness
from tests.integration.faulty import Answer, Fault, Raw, truncated_json
from tests.integration.hands import Interrupted
from tests.integration.outside import Endpoint, make_due, standing, step_error, tries
from tests.integration.tills import CANNOT_TELL, LatePayment, Till, a_payment, begun, path_of, pay, paying
from tests.integration.workers.waiting import until

pytest_plugins = ["tests.integration.outside_server"]

SETTLE_S = 5.0


@pytest.fixture
def till(endpoint: Endpoint) -> Till:
    return Till(endpoint)


def test_a_call_cut_after_its_effect_is_found_to_have_happened_and_made_once(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till)

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.result) == ("done", {"key": f"{run_id}:0", "number": 1})
    assert (till.booked, till.paid, till.asked) == ([f"{run_id}:0"], 1, 1)
    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "ok")]
    assert hands.causes() == set()


def test_a_call_cut_before_its_effect_is_found_not_to_have_happened_and_made_again(
    agentflow: Harness, till: Till
) -> None:
    till.pays(till.cuts, till.books)
    hands, run_id = begun(agentflow, till)

    hands.work()

    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.booked, till.paid, till.asked) == ([f"{run_id}:0"], 2, 1)
    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "ok")]
    assert (tries(hands, run_id), hands.causes()) == (["retried", "ok"], set())


def test_each_doubt_of_a_step_is_verified_anew(agentflow: Harness, till: Till) -> None:
    till.pays(till.cuts, till.cuts, till.books_and_cuts)
    hands, run_id = begun(agentflow, till)

    hands.work()

    assert path_of(hands, run_id) == [("pay", "ok"), *[("verify", "ok")] * 3]
    assert (till.booked, till.paid, till.asked) == ([f"{run_id}:0"], 3, 3)


def test_a_call_of_which_nobody_can_tell_is_left_to_a_person(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    till.says(Answer(CANNOT_TELL))
    hands, run_id = begun(agentflow, till)

    hands.work()

    error = step_error(hands, run_id)
    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert (error["kind"], error["happened"]) == ("transient", None)
    assert error["message"].endswith("; its verification cannot tell: the books are closed")
    assert (path_of(hands, run_id), till.paid) == ([("pay", "in_doubt"), ("verify", "ok")], 1)
    assert hands.causes() == {"in_doubt"}


BROKEN: dict[str, tuple[Fault, str]] = {
    "refused": (Answer(400), "bad_input"),
    "no JSON": (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<"), "malformed"),
    "for ever": (Answer(503), "transient"),
}


@pytest.mark.parametrize(("fault", "kind"), BROKEN.values(), ids=list(BROKEN))
def test_a_verification_that_fails_for_good_leaves_the_doubt_to_a_person(
    agentflow: Harness, till: Till, fault: Fault, kind: str
) -> None:
    till.pays(till.books_and_cuts)
    till.says(fault)
    hands, run_id = begun(agentflow, till)

    hands.work()

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert "its verification failed: " in step_error(hands, run_id)["message"]
    assert (path_of(hands, run_id), till.paid) == ([("pay", "in_doubt"), ("verify", "error")], 1)
    assert step_error(hands, run_id, 1)["kind"] == kind
    assert hands.causes() == {"in_doubt"}


@pytest.mark.parametrize(
    ("answers", "kind"), [(ZeroDivisionError("oh"), "bug"), ("happened", "bad_output")], ids=["raises", "no verdict"]
)
def test_a_verifier_with_a_bug_leaves_the_doubt_to_a_person(
    agentflow: Harness, till: Till, answers: Any, kind: str
) -> None:
    def verify() -> Any:
        if isinstance(answers, Exception):
            raise answers
        return answers

    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till, Pipeline("buggy", [a_payment(verifies=verify)]))

    hands.work()

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert (step_error(hands, run_id, 1)["kind"], till.paid) == (kind, 1)
    assert hands.causes() == ({"in_doubt", "bug"} if kind == "bug" else {"in_doubt"})


@pytest.mark.parametrize("fault", [Answer(503), Answer(500), truncated_json()], ids=["503", "500", "no JSON"])
def test_a_verification_that_cannot_ask_now_asks_again(agentflow: Harness, till: Till, fault: Fault) -> None:
    till.pays(till.books_and_cuts)
    till.says(fault, fault, till.looks_up)
    hands, run_id = begun(agentflow, till)

    hands.work()

    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.paid, till.asked) == (1, 3)
    assert (tries(hands, run_id, 1), hands.causes()) == (["retried", "retried", "ok"], set())


def test_nothing_is_asked_before_all_that_was_sent_can_have_arrived(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till)
    hands.do(run_id)

    doubt, verification = hands.step_row(run_id, 0), hands.step_row(run_id, 1)
    sent_until = datetime.fromisoformat(doubt["error"]["sent_until"])
    assert verification["next_attempt_at"] >= sent_until + timedelta(seconds=SETTLE_S)
    assert hands.refusal(run_id, 1) == ("not_due", "")
    assert standing(hands, run_id) == ("waiting_tool", "verifying")
    assert till.asked == 0


def test_a_lost_worker_is_not_asked_after_before_its_lease_is_over_and_all_can_have_arrived(
    agentflow: Harness, till: Till
) -> None:
    hands, run_id = begun(agentflow, till)
    claim = hands.claim(run_id)

    hands.lose(claim, Evidence.WORKER_DEAD)
    hands.lose(claim, Evidence.CHILD_DEAD)
    assert path_of(hands, run_id) == [("pay", "running")]
    hands.lose(claim, Evidence.LEASE_OVER)

    assert path_of(hands, run_id) == [("pay", "in_doubt"), ("verify", "pending")]
    left = "select extract(epoch from next_attempt_at - clock_timestamp()) from agentflow.agent_steps"
    assert SETTLE_S - 2 < hands.value(f"{left} where tool_name = 'verify'") <= SETTLE_S
    assert hands.refusal(run_id, 1) == ("not_due", "")


@pytest.mark.parametrize("booked", [True, False], ids=["after the effect", "before the effect"])
def test_a_worker_that_died_is_asked_after_and_its_call_is_made_once(
    agentflow: Harness, till: Till, booked: bool
) -> None:
    when = {"crash_after": "pay"} if booked else {"crash_before": "pay"}

    run = agentflow.run(paying(), {"url": till.url}, **when)

    assert (run.status, run.result) == ("done", {"key": f"{run.run_id}:0", "number": 1})
    assert (till.booked, till.asked) == ([f"{run.run_id}:0"], 1)
    assert (run.effects("pay"), run.attempts("pay")) == (1, 1 if booked else 2)


def test_a_step_is_not_handed_out_while_it_is_verified(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till)
    hands.do(run_id)
    make_due(hands)

    refused = [hands.refusal(run_id)]
    hands.runtime.reached = Interrupted("after_call", lambda _: refused.append(hands.refusal(run_id)))
    hands.do(run_id, 1)

    assert refused == [("duplicate", "in_doubt")] * 2
    assert till.paid == 1


def test_a_request_that_lands_after_its_caller_gave_up_is_found(agentflow: Harness, till: Till) -> None:
    late = LatePayment(till)
    till.pays(late)
    hands, run_id = begun(agentflow, till)

    assert isinstance(hands.do(run_id), InDoubt)
    assert till.booked == []
    late.land()
    hands.work()

    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.booked, till.paid) == ([f"{run_id}:0"], 1)


def test_what_was_not_found_before_everything_had_arrived_is_asked_for_again(agentflow: Harness, till: Till) -> None:
    late = LatePayment(till)
    till.pays(late)
    hands, run_id = begun(agentflow, till)
    hands.do(run_id)
    # As of a verification that was made due too soon, by hand or by a clock.
    make_due(hands)

    assert isinstance(early := hands.do(run_id, 1), Retrying)
    assert 0 < early.after_s <= SETTLE_S
    assert standing(hands, run_id) == ("waiting_tool", "settling")
    late.land()
    hands.work()

    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "ok")]
    assert (till.booked, till.paid, till.asked) == ([f"{run_id}:0"], 1, 2)


def test_what_was_asked_too_early_is_not_the_last_word_though_it_is_recorded_later(
    agentflow: Harness, till: Till
) -> None:
    till.pays(till.cuts, till.books)
    hands, run_id = begun(agentflow, till)
    hands.do(run_id)
    make_due(hands)
    # Long enough for the claim to come before it on a slow machine too.
    soon = "jsonb_set(tool_input::jsonb, '{settled_at}', to_jsonb(clock_timestamp() + interval '2 seconds'))"
    hands.sql(f"update agentflow.agent_steps set tool_input = {soon}::json where tool_name = 'verify'")
    settled = "select (tool_input ->> 'settled_at')::timestamptz < clock_timestamp() from agentflow.agent_steps"

    def let_the_time_pass(_: object) -> None:
        until(lambda: hands.value(f"{settled} where tool_name = 'verify'"), "the end of the wait")

    hands.runtime.reached = Interrupted("before_record", let_the_time_pass)

    assert isinstance(again := hands.do(run_id, 1), Retrying)
    assert (again.reason, again.after_s) == ("settling", 0)
    assert hands.step_row(run_id)["status"] == "in_doubt"


def test_a_bug_before_the_call_is_an_error_that_did_not_happen_and_frees_the_key(
    agentflow: Harness, till: Till
) -> None:
    def trip(url: str, order_id: str) -> None:
        raise ZeroDivisionError(url)

    hands, run_id = begun(agentflow, till, Pipeline("p", [a_payment(pays=trip, key="{order_id}")]), order_id="7")
    hands.work()

    error = step_error(hands, run_id)
    assert (agentflow.client.get(run_id).status, error["kind"], error["happened"]) == ("failed", "bug", False)
    assert (tries(hands, run_id), hands.causes()) == (["error"], {"bug"})
    assert hands.sql("select * from agentflow.idempotency_records") == []


def test_a_bug_after_the_call_is_told_and_does_the_run_no_harm(agentflow: Harness, till: Till) -> None:
    def trip(ctx: Context, url: str) -> None:
        pay(ctx, url)
        raise ZeroDivisionError(url)

    hands, run_id = begun(agentflow, till, Pipeline("buggy", [a_payment(pays=trip)]))
    hands.work()

    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.paid, hands.causes()) == (1, {"bug"})


def test_a_step_whose_worker_died_is_tried_again_alone(agentflow: Harness, till: Till) -> None:
    hands, run_id = begun(agentflow, till, paying(settle_s=0))
    hands.lose(hands.claim(run_id), Evidence.LEASE_OVER)
    hands.drop_hints()
    hands.do(run_id, 1)

    row = hands.step_row(run_id)
    assert (row["status"], row["quarantined"], row["deaths"], row["hinted_at"]) == ("pending", True, 0, None)
    # Where it runs alone is for the sweeper to say.
    assert hands.harness.hints.oldest(row["queue"]) is None


def test_a_step_that_kills_its_worker_each_time_is_poison_after_three_deaths_alone(
    agentflow: Harness, till: Till
) -> None:
    hands, run_id = begun(agentflow, till, paying(settle_s=0))
    for index in range(1, 5):
        make_due(hands)
        hands.lose(hands.claim(run_id), Evidence.LEASE_OVER)
        hands.do(run_id, index)

    hands.work()

    assert (step_error(hands, run_id)["kind"], step_error(hands, run_id)["happened"]) == ("poison", False)
    assert (agentflow.client.get(run_id).status, till.paid) == ("failed", 0)
    assert hands.causes() == {"poison"}


def test_a_verification_whose_worker_died_too_often_leaves_the_doubt_to_a_person(
    agentflow: Harness, till: Till
) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till)
    hands.do(run_id)
    for _ in range(4):
        make_due(hands)
        hands.lose(hands.claim(run_id, 1))

    assert (step_error(hands, run_id, 1)["kind"], standing(hands, run_id)) == ("poison", ("waiting_human", "in_doubt"))
    assert "its verification failed" in step_error(hands, run_id)["message"]


def test_verifications_and_their_attempts_cost_the_runs_budget_nothing(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    till.says(Answer(503), Answer(503), till.looks_up)
    pipeline = Pipeline("tight", [a_payment()], budget=Budget(attempts=1, steps=1, tool_calls=1))
    hands, run_id = begun(agentflow, till, pipeline)

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.attempts, run.tool_calls) == ("done", 1, 1)
