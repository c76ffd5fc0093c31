"""Calls that wait for a person: nothing is called before they are approved, and never other than it was approved."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agentflow import Notify
from agentflow.client import Client
from agentflow.client.approvals import Approvals
from agentflow.domain.errors import ApprovalNotFound, InterventionRefused
from agentflow.settings import settings
from agentflow.store import approvals, runs, steps
from agentflow.testing import Harness, call
from tests.integration.asked import (
    CALLS,
    REFUND,
    a_clerk,
    approval_id,
    asked_of,
    begun,
    both,
    image,
    let_expire,
    lone,
    refunding,
)
from tests.integration.gated import swept
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers

NOBODYS = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return refunding(agentflow)


@pytest.fixture
def people(agentflow: Harness) -> Approvals:
    return agentflow.client.approvals


def test_run_waits_for_a_person_and_nothing_is_called(hands: Hands) -> None:
    run_id = begun(hands)

    run, step, asked = hands.run_row(run_id), hands.step_row(run_id, 1), asked_of(hands, run_id)
    assert (run["status"], run["waiting_reason"], run["deadline_at"]) == ("waiting_human", "approval", None)
    assert (step["status"], step["waiting_reason"], step["attempt"]) == ("pending", "approval", 0)
    assert (asked["kind"], asked["tool"], asked["asked"], asked["agent"]) == ("call", "refund", REFUND, "clerk")
    assert asked["expires_at"] == step["next_attempt_at"]
    assert asked["expires_at"] - asked["asked_at"] == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=5))
    assert CALLS == []


def test_waiting_run_has_no_hint_and_its_step_cannot_be_claimed(hands: Hands) -> None:
    run_id = begun(hands)

    assert (hands.harness.hints.take(), swept(hands)) == (None, [])
    assert hands.refusal(run_id, 1) == ("not_due", "")
    hands.sql("update agentflow.agent_steps set next_attempt_at = null")
    assert hands.refusal(run_id, 1) == ("not_due", "approval")


def test_approved_call_is_made_once_with_exactly_what_was_approved(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    decided = people.approve(approval_id(hands, run_id), by="ada", reason="known customer", arguments=REFUND)
    hands.work()

    assert CALLS == [{**REFUND, "key": "refund:4421"}]
    assert hands.harness.client.get(run_id).result == "refunded 5000"
    stands = asked_of(hands, run_id)
    assert (stands["status"], stands["decided_by"], stands["reason"]) == ("approved", "ada", "known customer")
    assert stands["used_at"] > stands["decided_at"] == decided.decided_at


def test_run_goes_on_at_once_when_it_is_approved_and_its_deadline_too(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada")

    run, step = hands.run_row(run_id), hands.step_row(run_id, 1)
    assert (run["status"], run["waiting_reason"], step["waiting_reason"]) == ("running", None, None)
    assert run["deadline_at"] is not None
    hint = hands.harness.hints.take()
    assert hint is not None
    assert (hint.task_name, hint.queue, hint.run_id, hint.step_index) == ("step.refund", "tool.refund", run_id, 1)


def test_word_given_is_written_down_with_who_what_and_why(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada", reason="fine")

    [noted] = hands.sql("select * from agentflow.interventions")
    assert (noted["act"], noted["done_by"], noted["reason"], noted["step_index"]) == ("approved", "ada", "fine", 1)
    assert noted["details"]["tool"] == "refund"


def test_rejected_call_is_never_made_and_the_model_is_told_by_whom_and_why(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.reject(approval_id(hands, run_id), by="ada", reason="too much")
    hands.work()

    step, run = hands.step_row(run_id, 1), hands.harness.client.get(run_id)
    assert (step["status"], step["error"]["kind"], step["error"]["happened"]) == ("skipped", "rejected", False)
    assert CALLS == []
    assert run.status == "done"
    told = json.loads(run.result)["error"]
    assert told == {"kind": "rejected", "message": "'ada' rejected 'refund': too much; it was not called"}


def test_expired_approval_is_hinted_by_the_sweeper(hands: Hands) -> None:
    run_id = begun(hands)
    let_expire(hands, run_id)

    assert [(hint.run_id, hint.step_index) for hint in swept(hands)] == [(run_id, 1)]


def test_approval_that_nobody_gives_expires_by_itself_and_the_model_is_told(hands: Hands) -> None:
    run_id = begun(hands)
    let_expire(hands, run_id)
    hands.work()

    step, run = hands.step_row(run_id, 1), hands.harness.client.get(run_id)
    assert (step["status"], step["error"]["kind"]) == ("skipped", "expired")
    assert (asked_of(hands, run_id)["status"], CALLS, run.status) == ("expired", [], "done")
    assert "nobody approved it by " in run.result


def test_run_whose_very_first_call_wants_a_person_waits_for_one(agentflow: Harness, people: Approvals) -> None:
    hands = Hands(agentflow, lone)
    run_id = hands.submit(lone, {"amount_cents": 2000}, notify=Notify(email="ann@example.com"))
    hands.work()

    run = hands.run_row(run_id)
    assert (run["status"], run["waiting_reason"], run["deadline_at"]) == ("waiting_human", "approval", None)
    assert len(hands.sql("select * from agentflow.outbox")) == 1
    people.approve(approval_id(hands, run_id), by="ada")
    hands.work()
    ended = hands.run_row(run_id)
    assert (ended["status"], ended["result"], ended["deadline_at"] > ended["started_at"]) == ("done", 2000, True)


def test_pipeline_fails_where_its_call_is_rejected(agentflow: Harness, people: Approvals) -> None:
    hands = Hands(agentflow, lone)
    run_id = hands.submit(lone, {"amount_cents": 2000})
    hands.work()
    people.reject(approval_id(hands, run_id), by="ada", reason="too much")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], run.error["step_index"]) == ("failed", "tool_failed", 0)
    assert "'ada' rejected 'quote': too much" in run.error["message"]
    assert CALLS == []


def test_predicate_decides_which_calls_want_a_person(agentflow: Harness) -> None:
    hands = a_clerk(agentflow, call("quote", amount_cents=1000), call("quote", amount_cents=1001), "done")
    run_id = begun(hands)

    assert CALLS == [{"amount_cents": 1000}]
    assert asked_of(hands, run_id)["asked"] == {"amount_cents": 1001}


def test_retries_of_an_approved_call_need_no_second_word(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada")
    hands.lose(hands.claim(run_id, 1))
    used_at = asked_of(hands, run_id)["used_at"]

    hands.work()

    assert (len(CALLS), hands.step_row(run_id, 1)["attempt"]) == (1, 2)
    assert asked_of(hands, run_id)["used_at"] == used_at


def test_approval_is_worth_nothing_once_its_steps_arguments_are_others(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada")
    hands.sql("update agentflow.agent_steps set args_hash = 'other' where step_index = 1")

    assert hands.refusal(run_id, 1) == ("unapproved", "other_arguments")
    assert hands.step_row(run_id, 1)["status"] == "skipped"
    assert CALLS == []


def test_step_whose_approval_is_gone_is_never_called(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada")
    hands.sql("delete from agentflow.approvals")

    assert hands.refusal(run_id, 1) == ("unapproved", "missing")
    hands.work()
    assert CALLS == []


def test_one_of_two_waits_goes_on_without_the_other(agentflow: Harness, people: Approvals) -> None:
    hands = both(agentflow)
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada")
    hands.work()

    assert len(CALLS) == 1
    run = hands.run_row(run_id)
    assert (run["status"], run["waiting_reason"]) == ("waiting_human", "question")


def decided_before(hands: Hands, run_id: str) -> dict[str, Any]:
    hands.harness.client.approvals.reject(approval_id(hands, run_id), by="bob", reason="no")
    return {}


def expired(hands: Hands, run_id: str) -> dict[str, Any]:
    let_expire(hands, run_id)
    return {}


def run_over(hands: Hands, run_id: str) -> dict[str, Any]:
    hands.sql("update agentflow.agent_runs set status = 'failed', finished_at = clock_timestamp()")
    return {}


def run_stopping(hands: Hands, run_id: str) -> dict[str, Any]:
    hands.harness.database.atomically(lambda tx: runs.request_stop(tx, run_id, "deadline"))
    return {}


REFUSED: list[Any] = [
    pytest.param(decided_before, r"it was rejected before, by 'bob' at \d{4}", id="decided before"),
    pytest.param(expired, r"it expired at \d{4}", id="expired"),
    pytest.param(run_over, r"its run \S+ is over: failed", id="run over"),
    pytest.param(run_stopping, r"its run \S+ is being stopped: deadline", id="run stopping"),
    pytest.param(lambda *_: {"arguments": {**REFUND, "amount_cents": 1}}, "are not those that are asked", id="others"),
    pytest.param(lambda *_: {"arguments": float("nan")}, "are not those that are asked about", id="no JSON"),
    pytest.param(lambda *_: {"by": " "}, "by=' ' names nobody", id="by nobody"),
    pytest.param(lambda *_: {"reason": "x" * 5000}, "at most 4000 characters", id="a book"),
]


@pytest.mark.parametrize(("prepare", "says"), REFUSED)
def test_word_that_does_not_count_is_refused_with_the_reason_and_nothing_changes(
    hands: Hands, people: Approvals, prepare: Callable[[Hands, str], dict[str, Any]], says: str
) -> None:
    run_id = begun(hands)
    given = {"by": "ada", **prepare(hands, run_id)}
    before = image(hands, run_id)

    with pytest.raises(InterventionRefused, match=says):
        people.approve(approval_id(hands, run_id), **given)

    assert image(hands, run_id) == before
    assert hands.step_row(run_id, 1)["attempt"] == 0


def test_second_approval_is_refused_and_the_call_is_made_once(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    people.approve(approval_id(hands, run_id), by="ada")

    with pytest.raises(InterventionRefused, match="it was approved before, by 'ada'"):
        people.approve(approval_id(hands, run_id), by="ada")
    with pytest.raises(InterventionRefused, match="it was approved before, by 'ada'"):
        people.reject(approval_id(hands, run_id), by="bob")

    hands.work()
    assert len(CALLS) == 1


def test_approval_cannot_be_answered(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)

    with pytest.raises(InterventionRefused, match="it is no question: approve or reject it"):
        people.answer(approval_id(hands, run_id), "yes", by="ada")

    assert asked_of(hands, run_id)["status"] == "pending"


@pytest.mark.parametrize("unknown", [NOBODYS, NOBODYS[:8], "nonsense", "abc", ""])
def test_id_of_nothing_is_not_found(hands: Hands, people: Approvals, unknown: str) -> None:
    begun(hands)

    with pytest.raises(ApprovalNotFound, match="agentflow approvals list"):
        people.approve(unknown, by="ada")
    with pytest.raises(ApprovalNotFound):
        people.get(unknown)


def test_first_digits_of_an_id_are_enough(hands: Hands, people: Approvals) -> None:
    whole = approval_id(hands, begun(hands))

    assert str(people.get(whole[:8])["approval_id"]) == whole
    assert people.approve(whole[:9], by="ada").approval_id == whole


def test_first_digits_of_two_are_nobodys(hands: Hands, people: Approvals) -> None:
    first, second = begun(hands), begun(hands)
    for number, run_id in enumerate((first, second)):
        twin = f"0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a1{number}"
        hands.sql("update agentflow.approvals set approval_id = %(id)s where run_id = %(run)s", id=twin, run=run_id)

    with pytest.raises(InterventionRefused, match="begins the id of several approvals; give more of its digits"):
        people.approve("0f6f8a52", by="ada")

    assert {row["status"] for row in people.list()} == {"pending"}


def test_other_tenants_approvals_do_not_exist(hands: Hands, agentflow: Harness) -> None:
    run_id = begun(hands)
    elsewhere = settings().model_copy(update={"tenant": "elsewhere", "db_schema": "agentflow"})

    with Client(database_url=agentflow.database.url, settings=elsewhere, hints=agentflow.hints) as client:
        assert client.approvals.list(status=None) == []
        with pytest.raises(ApprovalNotFound):
            client.approvals.approve(approval_id(hands, run_id), by="mallory")

    assert asked_of(hands, run_id)["status"] == "pending"


def test_by_is_this_machines_user_unless_told_otherwise(
    hands: Hands, people: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")

    assert people.approve(approval_id(hands, begun(hands))).decided_by == "grace"


def test_commit_whose_answer_was_lost_is_known_again(hands: Hands, people: Approvals, agentflow: Harness) -> None:
    run_id = begun(hands)
    wanted = approval_id(hands, run_id)
    lost = LostAnswers(agentflow.client.database)
    lost.lose_next()

    decided = people.approve(wanted, by="ada")

    assert (lost.lost, decided.status, asked_of(hands, run_id)["decided_by"]) == (1, "approved", "ada")
    assert len(hands.sql("select * from agentflow.interventions")) == 1


def test_commit_that_failed_while_somebody_else_decided_is_refused(
    hands: Hands, people: Approvals, agentflow: Harness
) -> None:
    run_id = begun(hands)
    wanted = approval_id(hands, run_id)

    def reject() -> None:
        with Client(database_url=agentflow.database.url, hints=agentflow.hints) as other:
            other.approvals.reject(wanted, by="ada")

    lost = LostAnswers(agentflow.client.database)
    lost.lose_next(committed=False, meanwhile=reject)

    with pytest.raises(InterventionRefused, match="it was rejected before, by 'ada'"):
        people.approve(wanted, by="ada")


def test_steps_that_are_skipped_close_what_was_asked_about_them(hands: Hands, agentflow: Harness) -> None:
    run_id = begun(hands)

    def skip(tx: Any) -> None:
        runs.lock(tx, run_id)
        steps.skip_pending(tx, run_id)
        approvals.close(tx, run_id)

    agentflow.database.atomically(skip)

    assert asked_of(hands, run_id)["status"] == "closed"


def test_cancelled_runs_question_is_closed_and_cannot_be_approved_any_more(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands)
    hands.harness.database.atomically(lambda tx: runs.request_stop(tx, run_id, "cancel"))
    hands.work()

    assert hands.run_row(run_id)["status"] == "cancelled"
    assert asked_of(hands, run_id)["status"] == "closed"
    with pytest.raises(InterventionRefused, match="its run stopped waiting for it"):
        people.approve(approval_id(hands, run_id), by="ada")
    assert CALLS == []


@pytest.mark.parametrize("ended", ["rejected", "expired", "closed"])
def test_reopened_step_is_asked_about_anew(hands: Hands, people: Approvals, agentflow: Harness, ended: str) -> None:
    run_id = begun(hands)
    hands.sql("update agentflow.approvals set status = %(ended)s, decided_at = clock_timestamp()", ended=ended)
    hands.sql("update agentflow.agent_steps set next_attempt_at = null, waiting_reason = null where step_index = 1")

    assert agentflow.database.atomically(lambda tx: approvals.ask_again(tx, run_id)) == 1

    asked, step = asked_of(hands, run_id), hands.step_row(run_id, 1)
    assert (asked["status"], asked["decided_at"], step["waiting_reason"]) == ("pending", None, "approval")
    assert asked["expires_at"] == step["next_attempt_at"]
    people.approve(approval_id(hands, run_id), by="ada")
    hands.work()
    assert len(CALLS) == 1


@pytest.mark.parametrize("step_index", [None, 0], ids=["the run", "the step"])
def test_retry_of_a_run_that_a_person_refused_asks_anew(
    agentflow: Harness, people: Approvals, step_index: int | None
) -> None:
    hands = Hands(agentflow, lone)
    run_id = hands.submit(lone, {"amount_cents": 2000})
    hands.work()
    people.reject(approval_id(hands, run_id), by="ada", reason="not today")
    hands.work()

    agentflow.client.operations.retry(run_id, by="op", step_index=step_index)
    hands.work()

    assert (hands.run_row(run_id)["status"], asked_of(hands, run_id)["status"]) == ("waiting_human", "pending")
    people.approve(approval_id(hands, run_id), by="ada")
    hands.work()
    assert (agentflow.client.get(run_id).result, len(CALLS)) == (2000, 1)


def test_open_ones_are_listed_first_and_the_newest_of_them(hands: Hands, people: Approvals) -> None:
    first, second, third = (begun(hands) for _ in range(3))
    people.reject(approval_id(hands, second), by="ada")

    def listed(**which: Any) -> list[str]:
        return [str(row["run_id"]) for row in people.list(**which)]

    assert listed() == [third, first]
    assert listed(status=None) == [third, first, second]
    assert listed(status="rejected") == [second]
    assert listed(status=None, most=1) == [third]
    assert listed(run_id=first) == [first]


def test_open_breaker_delays_no_expiry(hands: Hands) -> None:
    run_id = begun(hands)
    let_expire(hands, run_id)
    hands.sql("insert into agentflow.holds (bulkhead, reason, held_by) values ('refund', 'maintenance', 'ada')")
    hands.work()

    assert hands.step_row(run_id, 1)["error"]["kind"] == "expired"
