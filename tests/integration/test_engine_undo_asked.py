"""A person is asked whether what a failed run did shall be undone: nothing is, before and unless one says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from agentflow import Notify
from agentflow.client.approvals import Approvals
from agentflow.domain.errors import InterventionRefused
from agentflow.store import runs
from agentflow.testing import Harness
from tests.integration.asked import approval_id, asked_of, let_expire
from tests.integration.deeds import LOG, a_deed, begun, deciding, failing, look, once, raising, stop, transitions
from tests.integration.hands import Hands
from tests.integration.workers.waiting import until

asking = failing(a_deed("order"), a_deed("pack"), on_failure="ask")


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    LOG.clear()


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, asking)


@pytest.fixture
def people(agentflow: Harness) -> Approvals:
    return agentflow.client.approvals


def asked(hands: Hands) -> str:
    """A run that has failed and asks; return its id."""
    run_id = begun(hands, asking, steps=3)
    hands.work()
    return run_id


def test_a_failed_run_asks_and_undoes_nothing_meanwhile(hands: Hands) -> None:
    run_id = asked(hands)

    run, row = hands.run_row(run_id), asked_of(hands, run_id, "undo")
    assert (run["status"], run["waiting_reason"], run["deadline_at"]) == ("waiting_human", "approval", None)
    assert (LOG, hands.harness.hints.take()) == (["order", "pack"], None)
    assert row["expires_at"] - row["asked_at"] == pytest.approx(timedelta(days=1), abs=timedelta(seconds=5))


def test_the_question_says_why_the_run_fails_and_what_would_be_undone(hands: Hands) -> None:
    told = asked_of(hands, asked(hands), "undo")["asked"]

    assert (told["reason"], told["message"]) == ("tool_failed", "refuse: refused")
    assert told["effects"] == [{"step": 1, "tool": "pack"}, {"step": 0, "tool": "order"}]


def test_once_approved_all_is_undone_without_another_question(hands: Hands, people: Approvals) -> None:
    run_id = asked(hands)

    people.approve(approval_id(hands, run_id, "undo"), by="ada")
    assert look(hands, run_id).status == "compensating"
    hands.work()

    run = look(hands, run_id)
    assert LOG == ["order", "pack", "undo pack", "undo order"]
    assert (run.status, run.record.compensation, run.error["kind"]) == ("failed", "done", "tool_failed")
    assert transitions(run) == ["pending", "running", "waiting_human", "compensating", "failed"]
    assert len(people.list(status=None)) == 1


def test_once_rejected_all_stays_and_the_run_ends(hands: Hands, people: Approvals) -> None:
    run_id = asked(hands)

    people.reject(approval_id(hands, run_id, "undo"), by="ada", reason="the customer keeps it")
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.compensation, LOG) == ("failed", "kept", ["order", "pack"])
    assert run.steps[-1].error["message"] == "'ada' wants what the run did to stay: the customer keeps it"
    assert run.error == {"kind": "tool_failed", "message": "refuse: refused", "step_index": 2}


def test_where_nobody_answers_all_stays_and_the_run_ends(hands: Hands) -> None:
    run_id = asked(hands)

    let_expire(hands, run_id)
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.compensation, LOG) == ("failed", "kept", ["order", "pack"])
    assert asked_of(hands, run_id, "undo")["status"] == "expired"


def test_what_is_answered_is_answered(hands: Hands, people: Approvals) -> None:
    run_id = asked(hands)
    undo = approval_id(hands, run_id, "undo")
    people.reject(undo, by="ada")

    with pytest.raises(InterventionRefused, match="it was rejected before, by 'ada'"):
        people.approve(undo, by="bob")
    hands.work()

    assert LOG == ["order", "pack"]


def test_who_wants_to_hear_of_a_runs_need_of_a_person_hears_of_this_one(agentflow: Harness, hands: Hands) -> None:
    run_id = hands.submit(asking, {}, notify=Notify(email="ada@example.com"))
    hands.work()

    [message] = agentflow.client.outbox(run_id)
    assert "waits for a person" in message["payload"]["subject"]


def test_a_run_that_fails_again_after_a_retry_asks_again(agentflow: Harness, hands: Hands, people: Approvals) -> None:
    run_id = asked(hands)
    people.reject(approval_id(hands, run_id, "undo"), by="ada")
    hands.work()

    agentflow.client.operations.retry(run_id, by="ada")
    hands.work()

    assert look(hands, run_id).status == "waiting_human"
    [again] = people.list(run_id=run_id)
    people.approve(again["approval_id"], by="ada")
    hands.work()
    assert LOG == ["order", "pack", "undo pack", "undo order"]
    assert look(hands, run_id).record.compensation == "done"


def test_a_run_past_its_deadline_asks_and_is_undone_when_a_person_says_so(hands: Hands, people: Approvals) -> None:
    run_id = begun(hands, asking, steps=2)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'")
    hands.work()

    assert look(hands, run_id).status == "waiting_human"
    assert hands.causes() == {"deadline"}
    people.approve(approval_id(hands, run_id, "undo"), by="ada")
    hands.work()

    run = look(hands, run_id)
    assert (run.error["kind"], run.record.compensation) == ("deadline", "done")
    assert LOG == ["order", "pack", "undo pack", "undo order"]


def test_two_coordinators_that_stop_one_run_ask_one_question_that_stands(hands: Hands) -> None:
    run_id = begun(hands, asking, steps=2)
    stop(hands, run_id, "deadline")
    with ThreadPoolExecutor(2) as threads:
        with hands.harness.database.transaction() as tx:
            runs.lock(tx, run_id)
            both = [threads.submit(hands.advance, run_id) for _ in range(2)]
            until(lambda: waiting_for_locks(hands) == 2, "both want the run")
        answers = sorted(each.result().answer for each in both)

    assert answers == ["overtaken", "stopped"]
    assert (look(hands, run_id).status, asked_of(hands, run_id, "undo")["status"]) == ("waiting_human", "pending")


def waiting_for_locks(hands: Hands) -> int:
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    return int(hands.value(query))


def test_what_could_not_be_undone_is_gone_on_with_without_another_question(
    agentflow: Harness, people: Approvals
) -> None:
    broken = a_deed("order", undoes=once(raising(happened=False)))
    hands = Hands(agentflow, agent := deciding(broken, on_failure="ask"))
    run_id = begun(hands, agent, steps=1)
    people.approve(approval_id(hands, run_id, "undo"), by="ada")
    hands.work()
    assert look(hands, run_id).record.compensation == "failed"

    agentflow.client.operations.retry(run_id, by="ada")
    hands.work()

    assert (look(hands, run_id).record.compensation, LOG) == ("done", ["order", "undo order"])
    assert len(people.list(status=None)) == 1
