"""Tools whose calls are verified each time: an answer of success counts once it is found to be true."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Happened, Pipeline, tool
from agentflow.domain.outcome import Completed, InDoubt, Retrying
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness, call, scripted
from tests.integration.faulty import Answer
from tests.integration.hands import Hands, Interrupted
from tests.integration.outside import Endpoint, standing, step_error, tries
from tests.integration.tills import CANNOT_TELL, NOT_THERE, Till, a_payment, begun, path_of, paying

pytest_plugins = ["tests.integration.outside_server"]

REPEATED = ["keyed", "idempotent", "verified"]
RUNNING = ("running", None)


@pytest.fixture
def till(endpoint: Endpoint) -> Till:
    return Till(endpoint)


def checking(effect: str = "verified", **declared: Any) -> Pipeline:
    """A pipeline of one payment that is looked for each time."""
    return paying(effect, verify_after=True, **declared)


@pytest.mark.parametrize("effect", [*REPEATED, "unsafe"])
def test_a_success_that_is_found_is_kept_as_the_call_gave_it(agentflow: Harness, till: Till, effect: str) -> None:
    till.says(Answer(body={"found": "otherwise"}))

    run = agentflow.run(checking(effect), {"url": till.url})

    assert (run.status, run.result) == ("done", {"key": f"{run.run_id}:0", "number": 1})
    assert [(step.tool_name, step.status) for step in run.steps] == [("pay", "ok"), ("verify", "ok")]
    assert (till.paid, till.asked, run.effects("pay")) == (1, 1, 1)


@pytest.mark.parametrize("effect", REPEATED)
def test_a_success_that_did_not_happen_is_found_and_the_call_made_again(
    agentflow: Harness, till: Till, effect: str
) -> None:
    till.pays(till.pretends, till.books)
    hands, run_id = begun(agentflow, till, checking(effect))

    hands.work()

    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.booked, till.paid) == ([f"{run_id}:0"], 2)
    assert tries(hands, run_id) == ["retried", "ok"]
    [pretended, _] = agentflow.client.steps(run_id)[0].tries
    assert (pretended["error"]["kind"], pretended["error"]["happened"]) == ("unconfirmed", False)
    assert pretended["latency_ms"] > 0


def test_a_success_of_an_unsafe_call_that_is_not_found_is_left_to_a_person(agentflow: Harness, till: Till) -> None:
    till.pays(till.pretends)
    hands, run_id = begun(agentflow, till, checking("unsafe"))

    hands.work()

    error = step_error(hands, run_id)
    assert (standing(hands, run_id), till.paid) == (("waiting_human", "in_doubt"), 1)
    assert (error["kind"], error["happened"]) == ("unconfirmed", None)
    assert error["message"] == "it was answered with success, but its verification found nothing"
    assert hands.causes() == {"in_doubt"}


def test_a_success_that_never_happens_is_an_error_in_the_end_and_told(agentflow: Harness, till: Till) -> None:
    till.pays(till.pretends)
    hands, run_id = begun(agentflow, till, checking("keyed", key="pay:{order_id}"), order_id="7")

    hands.work()

    error = step_error(hands, run_id)
    assert (agentflow.client.get(run_id).status, error["kind"], error["happened"]) == ("failed", "unconfirmed", False)
    assert (till.paid, tries(hands, run_id)) == (4, ["retried", "retried", "retried", "error"])
    assert hands.causes() == {"unconfirmed"}
    assert hands.sql("select * from agentflow.idempotency_records") == []


@pytest.mark.parametrize("answer", [Answer(CANNOT_TELL), Answer(400)], ids=["cannot tell", "fails"])
def test_a_success_of_which_nobody_can_tell_is_left_to_a_person_with_what_it_gave(
    agentflow: Harness, till: Till, answer: Answer
) -> None:
    till.says(answer)
    hands, run_id = begun(agentflow, till, checking())

    hands.work()

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert hands.step_row(run_id)["unconfirmed"]["output"] == {"key": f"{run_id}:0", "number": 1}


def test_a_success_is_looked_for_at_once(agentflow: Harness, till: Till) -> None:
    hands, run_id = begun(agentflow, till, checking(settle_s=600))
    hands.do(run_id)

    assert (path_of(hands, run_id), standing(hands, run_id)) == ([("pay", "in_doubt"), ("verify", "pending")], RUNNING)
    assert isinstance(hands.do(run_id, 1), Completed)
    assert agentflow.client.get(run_id).status == "done"


def test_a_success_that_is_not_to_be_found_yet_is_looked_for_again_and_not_repeated(
    agentflow: Harness, till: Till
) -> None:
    till.says(Answer(NOT_THERE), till.looks_up)
    hands, run_id = begun(agentflow, till, checking(settle_s=60))
    hands.do(run_id)

    early = hands.do(run_id, 1)

    assert isinstance(early, Retrying)
    assert 50 < early.after_s <= 60
    assert hands.refusal(run_id) == ("duplicate", "in_doubt")
    hands.work()
    assert (agentflow.client.get(run_id).status, till.paid, till.asked) == ("done", 1, 2)


def queued(hands: Hands) -> int:
    return int(hands.value("select count(*) from agentflow.outbox"))


def test_its_messages_and_notes_leave_when_it_is_confirmed(agentflow: Harness, till: Till) -> None:
    hands, run_id = begun(agentflow, till, checking())

    hands.do(run_id)
    assert (queued(hands), hands.run_row(run_id)["scratchpad"]) == (0, {})
    hands.do(run_id, 1)

    assert [(row["step_index"], row["payload"]["subject"]) for row in agentflow.client.outbox(run_id)] == [(0, "Paid")]
    assert agentflow.client.get(run_id).scratchpad == {"paid": "1"}
    assert hands.step_row(run_id)["noted"] == {"paid": "1"}


@pytest.mark.parametrize("effect", ["keyed", "unsafe"])
def test_its_messages_and_notes_never_leave_where_it_did_not_happen(
    agentflow: Harness, till: Till, effect: str
) -> None:
    till.pays(till.pretends)
    hands, run_id = begun(agentflow, till, checking(effect))

    hands.work()

    assert (queued(hands), hands.run_row(run_id)["scratchpad"]) == (0, {})


def test_messages_and_notes_of_the_call_that_did_happen_leave_once(agentflow: Harness, till: Till) -> None:
    till.pays(till.pretends, till.books)
    hands, run_id = begun(agentflow, till, checking("keyed"))

    hands.work()

    assert (queued(hands), agentflow.client.get(run_id).scratchpad) == (1, {"paid": "1"})


def test_what_a_verification_notes_is_kept_beside_what_its_call_noted(agentflow: Harness, till: Till) -> None:
    def look(ctx: Context) -> Any:
        ctx.scratchpad["looked"] = True
        return Happened(None)

    pipeline = Pipeline("noting", [a_payment(verify_after=True, verifies=look)])

    run = agentflow.run(pipeline, {"url": till.url})

    assert run.record.scratchpad == {"paid": "1", "looked": True}


@pytest.mark.parametrize("effect", ["keyed", "idempotent"])
def test_a_lost_call_that_may_be_repeated_is_and_its_success_is_looked_for(
    agentflow: Harness, till: Till, effect: str
) -> None:
    run = agentflow.run(checking(effect), {"url": till.url}, crash_after="pay")

    assert [each["status"] for each in run.steps[0].tries] == ["lost", "ok"]
    assert (run.status, till.paid, till.asked, run.effects("pay")) == ("done", 2, 1, 1)


def test_an_unsafe_call_that_is_lost_is_left_to_a_person_unasked(agentflow: Harness, till: Till) -> None:
    run = agentflow.run(checking("unsafe"), {"url": till.url}, crash_after="pay")

    assert (run.status, run.record.waiting_reason, till.asked) == ("waiting_human", "in_doubt", 0)


def test_a_success_that_comes_while_its_loss_is_verified_is_looked_for_too(agentflow: Harness, till: Till) -> None:
    hands, run_id = begun(agentflow, till, checking())
    hands.runtime.reached = Interrupted("after_call", lambda claim: hands.lose(claim, Evidence.LEASE_OVER))

    ending = hands.do(run_id)

    assert isinstance(ending, Completed)
    assert path_of(hands, run_id) == [("pay", "in_doubt"), ("verify", "skipped"), ("verify", "pending")]
    hands.work()
    run = agentflow.client.get(run_id)
    assert (run.status, run.result, run.scratchpad) == ("done", {"key": f"{run_id}:0", "number": 1}, {"paid": "1"})
    assert (till.paid, till.asked, queued(hands)) == (1, 1, 1)


def test_a_success_that_comes_after_a_person_was_asked_is_looked_for_too(agentflow: Harness, till: Till) -> None:
    hands, run_id = begun(agentflow, till, checking("unsafe"))
    claim = hands.claim(run_id)
    hands.lose(claim, Evidence.LEASE_OVER)
    assert standing(hands, run_id) == ("waiting_human", "in_doubt")

    hands.record(claim, Completed("mine"))
    assert (hands.step_row(run_id)["waiting_reason"], standing(hands, run_id)) == ("verifying", RUNNING)
    till.booked.append(f"{run_id}:0")
    hands.work()

    assert agentflow.client.get(run_id).result == "mine"


def test_a_failure_that_may_have_happened_is_verified_as_ever(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till, checking())

    assert isinstance(hands.do(run_id), InDoubt)
    assert hands.refusal(run_id, 1) == ("not_due", "")
    hands.work()

    assert (agentflow.client.get(run_id).status, till.paid, till.asked) == ("done", 1, 1)


def test_an_unsafe_failure_that_may_have_happened_is_a_persons(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till, checking("unsafe"))

    hands.work()

    assert (standing(hands, run_id), path_of(hands, run_id)) == (("waiting_human", "in_doubt"), [("pay", "in_doubt")])


def test_what_comes_next_is_not_begun_before_it_is_confirmed(agentflow: Harness, till: Till) -> None:
    @tool(effect="read")
    def count(pay: dict[str, Any]) -> int:
        return int(pay["number"])

    hands, run_id = begun(agentflow, till, Pipeline("counting", [a_payment(verify_after=True), count]))
    hands.do(run_id)
    assert path_of(hands, run_id) == [("pay", "in_doubt"), ("verify", "pending")]
    hands.work()

    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "ok"), ("count", "ok")]
    assert agentflow.client.get(run_id).result == 1


def test_a_run_that_its_tool_ends_waits_for_what_is_found(agentflow: Harness, till: Till) -> None:
    @tool(effect="keyed", verify_after=True, settle_s=5, ends_run=True)
    def hand_over(ctx: Context, url: str) -> str:
        return ctx.idempotency_key

    @hand_over.verify
    def handed_over() -> Happened[None]:
        return Happened(None)

    agent = Agent("desk", model="openai:gpt-4o-mini", tools=[hand_over])
    model = scripted(call("hand_over", url=till.url))

    run = agentflow.run(agent, "hi", model=model)

    assert (run.status, run.result) == ("done", f"{run.run_id}:1")
    assert [step.tool_name for step in run.steps] == ["model", "hand_over", "verify"]
