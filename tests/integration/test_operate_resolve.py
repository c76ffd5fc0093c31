"""A person ends a doubt: it happened, it is to be made again, or it counts as failed; the run goes on from there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agentflow import Agent, Context, Pipeline, Unknown, tool
from agentflow.client.operations import Operations
from agentflow.domain.claim import Claim
from agentflow.domain.errors import RunNotFound
from agentflow.domain.outcome import Completed
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers
from tests.integration.operated import DOUBT, acts, operations_of, refused

ARRIVED: list[str] = []


@tool(effect="unsafe", key="parcel:{n}")
def ship(n: int) -> str:
    ARRIVED.append(f"parcel {n}")
    return f"sent {n}"


@tool(effect="read")
def report(ship: str) -> str:
    return f"reported {ship}"


@tool(effect="unsafe")
def post(text: str) -> str:
    ARRIVED.append(text)
    return "posted"


@ship.compensate
def call_back(result: str, n: int) -> None:
    ARRIVED.append(f"called back {n}: {result}")


@tool(effect="read", on_error="fail")
def check(ship: str) -> str:
    raise ValueError(f"{ship} is not what was ordered")


shipping = Pipeline("shipping", [ship, report], on_failure="keep")
checked_shipping = Pipeline("checked_shipping", [ship, check], on_failure="compensate")


@tool(effect="verified", verify_after=True, settle_s=0)
def transfer(ctx: Context, n: int) -> str:
    ARRIVED.append(f"transfer {n}")
    ctx.scratchpad["transferred"] = n
    ctx.outbox.email(to="a@example.com", subject="Transfer", body=str(n))
    return f"transferred {n}"


@transfer.verify
def was_transferred(n: int) -> Unknown:
    return Unknown("the bank does not say")


transferring = Pipeline("transferring", [transfer])
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[post, ship])


@pytest.fixture(autouse=True)
def nothing_arrived() -> None:
    ARRIVED.clear()


def in_doubt(hands: Hands, agent: Pipeline = shipping, n: int = 1) -> tuple[str, Claim]:
    """Begin a run whose first call is in doubt."""
    run_id = hands.begin(agent, {"n": n})
    claim = hands.claim(run_id)
    hands.record(claim, DOUBT)
    return run_id, claim


def resolve(hands: Hands, run_id: str, resolution: str, **said: Any) -> None:
    operations_of(hands).resolve(run_id, resolution, **{"by": "ada", **said})


def key_status(hands: Hands, key: str = "parcel:1") -> str | None:
    rows = hands.sql("select status from agentflow.idempotency_records where key = %(key)s", key=key)
    return rows[0]["status"] if rows else None


def test_what_happened_ends_ok_with_the_answer_and_the_run_goes_on(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)

    resolve(hands, run_id, "happened", answer="sent by hand", reason="seen at the carrier")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.result) == ("done", "reported sent by hand")
    assert ARRIVED == []


def test_who_said_so_and_why_and_until_when_it_can_have_been_sent_is_written_down(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    sent_until = hands.step_row(run_id)["error"]["sent_until"]

    resolve(hands, run_id, "happened", answer="x", reason="seen at the carrier")

    [act] = acts(hands, run_id)
    assert (act["act"], act["done_by"], act["reason"], act["step_index"]) == (
        "resolved",
        "ada",
        "seen at the carrier",
        0,
    )
    assert (act["details"]["resolution"], act["details"]["sent_until"]) == ("happened", sent_until)
    assert datetime.fromisoformat(sent_until) <= datetime.now(UTC)


def test_what_happened_spends_its_key_so_that_others_take_its_answer(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    other = hands.begin(shipping, {"n": 1})
    assert hands.refusal(other)[0] == "key_in_flight"

    resolve(hands, run_id, "happened", answer="sent by hand")
    hands.work()

    assert agentflow.client.get(other).result == "reported sent by hand"
    assert ARRIVED == []


def test_without_an_answer_nothing_is_what_it_gave(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("post", text="hello"), "done"))
    run_id = hands.begin(clerk, "hi")
    hands.do(run_id)
    hands.record(hands.claim(run_id, 1), DOUBT)

    resolve(hands, run_id, "happened")
    hands.work()

    assert agentflow.client.get(run_id).status == "done"
    assert (hands.step_row(run_id, 1)["status"], hands.step_row(run_id, 1)["tool_output"]) == ("ok", None)


def test_a_retry_makes_the_call_again_under_the_same_key(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, claim = in_doubt(hands)

    resolve(hands, run_id, "retry", reason="the carrier knows nothing")
    hands.work()

    step = agentflow.client.steps(run_id)[0]
    assert (step.status, step.attempt, step.idempotency_key) == ("ok", 2, claim.step.idempotency_key)
    assert (ARRIVED, agentflow.client.get(run_id).status) == (["parcel 1"], "done")


def test_a_call_that_has_to_be_made_alone_is_left_to_the_sweeper_which_knows_where(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    hands.sql("update agentflow.agent_steps set quarantined = true")
    hands.drop_hints()

    resolve(hands, run_id, "retry")

    told = list(iter(agentflow.hints.take, None))
    assert [hint.step_index for hint in told if hint.run_id == run_id] == [None], "the run is hinted, its step is not"
    hands.work()
    assert agentflow.client.get(run_id).status == "done"


@pytest.mark.parametrize("resolution", ["happened", "retry", "fail"])
def test_what_the_attempt_in_doubt_records_afterwards_is_refused(agentflow: Harness, resolution: str) -> None:
    hands = Hands(agentflow, shipping)
    run_id, claim = in_doubt(hands)

    resolve(hands, run_id, resolution)

    assert hands.record(claim, Completed("late")) is None
    assert hands.step_row(run_id)["tool_output"] != "late"


def test_what_the_call_itself_gave_counts_where_a_person_confirms_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, transferring)
    run_id = hands.begin(transferring, {"n": 7})
    hands.work()
    assert (hands.run_row(run_id)["waiting_reason"], hands.run_row(run_id)["scratchpad"]) == ("in_doubt", {})

    resolve(hands, run_id, "happened", reason="seen on the statement")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.result, run.scratchpad) == ("done", "transferred 7", {"transferred": 7})
    assert [message["kind"] for message in agentflow.client.outbox(run_id)] == ["email"]
    assert ARRIVED == ["transfer 7"]


def test_a_doubt_that_is_being_verified_is_left_to_its_verification(agentflow: Harness) -> None:
    hands = Hands(agentflow, transferring)
    run_id = hands.begin(transferring, {"n": 7})
    hands.do(run_id)
    assert hands.step_row(run_id)["waiting_reason"] == "verifying"

    with refused(hands, r"step 0 \(transfer\) is being verified .* wait for what that says"):
        resolve(hands, run_id, "happened")


def test_a_failed_doubt_fails_its_pipeline_and_keeps_its_key(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)

    resolve(hands, run_id, "fail", reason="nobody knows")
    hands.work()

    error = hands.step_row(run_id)["error"]
    assert (error["kind"], error["happened"]) == ("resolved", None)
    assert error["message"] == "'ada' said that it counts as failed: nobody knows"
    assert agentflow.client.get(run_id).status == "failed"
    assert key_status(hands) == "in_doubt"
    assert hands.refusal(hands.begin(shipping, {"n": 1}))[0] == "key_in_flight"


def test_what_certainly_did_not_happen_frees_its_key(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    other = hands.begin(shipping, {"n": 1})
    assert hands.refusal(other)[0] == "key_in_flight"

    resolve(hands, run_id, "fail", did_not_happen=True)
    hands.work()

    assert hands.step_row(run_id)["error"]["happened"] is False
    assert (agentflow.client.get(other).status, ARRIVED) == ("done", ["parcel 1"])


def test_who_failed_a_doubt_may_say_later_that_it_did_not_happen(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    resolve(hands, run_id, "fail")
    hands.work()

    resolve(hands, run_id, "fail", step_index=0, did_not_happen=True, by="bob")

    assert (hands.step_row(run_id)["error"]["happened"], key_status(hands)) == (False, None)
    assert agentflow.client.get(run_id).status == "failed"
    assert [act["done_by"] for act in acts(hands, run_id)] == ["ada", "bob"]


def test_the_model_is_told_that_a_failed_doubt_may_have_happened(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("post", text="hello"), "sorry"))
    run_id = hands.begin(clerk, "hi")
    hands.do(run_id)
    hands.record(hands.claim(run_id, 1), DOUBT)

    resolve(hands, run_id, "fail")
    hands.work()

    query = "select prompt from agentflow.llm_calls where run_id = %(id)s order by step_index desc limit 1"
    answer = hands.value(query, id=run_id)[-1]
    assert '"may_have_happened": true' in answer["content"]
    assert agentflow.client.get(run_id).result == "sorry"


def test_a_run_in_doubt_stops_waiting_for_a_person_when_it_is_resolved(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    assert hands.run_row(run_id)["status"] == "waiting_human"

    resolve(hands, run_id, "happened")

    row = hands.run_row(run_id)
    assert (row["status"], row["waiting_reason"], row["time_left_s"]) == ("running", None, None)
    assert row["deadline_at"] is not None


def test_a_doubt_in_a_run_that_is_cancelled_is_the_last_thing_it_waits_for(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    agentflow.client.operations.cancel(run_id, by="ada")
    hands.work()
    assert agentflow.client.get(run_id).status == "waiting_human"

    resolve(hands, run_id, "fail", did_not_happen=True)
    hands.work()

    assert agentflow.client.get(run_id).status == "cancelled"


def compensation_in_doubt(hands: Hands) -> str:
    """Fail a run after its effect, and let the undoing of that be in doubt."""
    run_id = hands.begin(checked_shipping, {"n": 1})
    hands.do(run_id)
    hands.do(run_id, 1)
    hands.advance(run_id)
    hands.record(hands.claim(run_id, 2), DOUBT)
    assert (hands.step_row(run_id, 2)["tool_name"], hands.step_row(run_id, 2)["status"]) == ("compensate", "in_doubt")
    return run_id


def test_an_undoing_that_happened_ends_the_run_undone(agentflow: Harness) -> None:
    hands = Hands(agentflow, checked_shipping)
    run_id = compensation_in_doubt(hands)

    resolve(hands, run_id, "happened")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.compensation) == ("failed", "done")
    assert (key_status(hands), ARRIVED) == ("compensated", ["parcel 1"])


def test_an_undoing_that_failed_says_so_at_the_end_of_the_run(agentflow: Harness) -> None:
    hands = Hands(agentflow, checked_shipping)
    run_id = compensation_in_doubt(hands)

    resolve(hands, run_id, "fail", did_not_happen=True)
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.compensation) == ("failed", "failed")
    assert key_status(hands) == "in_doubt"


def test_an_undoing_is_tried_again_though_its_run_is_ending(agentflow: Harness) -> None:
    hands = Hands(agentflow, checked_shipping)
    run_id = compensation_in_doubt(hands)

    resolve(hands, run_id, "retry")
    hands.work()

    assert agentflow.client.get(run_id).compensation == "done"
    assert ARRIVED == ["parcel 1", "called back 1: sent 1"]


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "by nobody": ("happened", {"by": "  "}, "names nobody"),
    "an unknown word": ("maybe", {}, "say one of happened, retry, fail"),
    "no such step": ("happened", {"step_index": 7}, "it has no step 7"),
    "an answer that fails": ("fail", {"answer": 1}, "an answer goes with 'happened'"),
    "an answer that cannot be kept": ("happened", {"answer": float("nan")}, "the answer cannot be stored"),
    "an answer of two megabytes": ("happened", {"answer": "x" * 2_000_000}, "the limit is"),
    "a retry of what did not happen": ("retry", {"did_not_happen": True}, "goes with 'fail'"),
}


@pytest.mark.parametrize(("resolution", "said", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_said_of_a_doubt_is_refused_and_nothing_is_changed(
    agentflow: Harness, resolution: str, said: dict[str, Any], why: str
) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)

    with refused(hands, why):
        resolve(hands, run_id, resolution, **said)


@pytest.mark.parametrize("resolution", ["happened", "retry", "fail"])
def test_what_is_not_in_doubt_is_refused(agentflow: Harness, resolution: str) -> None:
    hands = Hands(agentflow, shipping)
    run_id = hands.begin(shipping, {"n": 1})
    hands.work()

    with refused(hands, r"step 0 \(ship\) is ok, not in doubt"):
        resolve(hands, run_id, resolution, step_index=0)
    with refused(hands, "no step of it is in doubt"):
        resolve(hands, run_id, resolution)


@pytest.mark.parametrize("resolution", ["happened", "retry", "fail"])
def test_a_doubt_is_resolved_once(agentflow: Harness, resolution: str) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    resolve(hands, run_id, "fail")

    with refused(hands, "is error, not in doubt"):
        resolve(hands, run_id, resolution, step_index=0)


def test_of_several_doubts_one_is_named(agentflow: Harness) -> None:
    both = scripted(calls(call("post", text="a"), call("post", text="b")), "done")
    hands = Hands(agentflow, clerk, model=both)
    run_id = hands.begin(clerk, "hi")
    hands.do(run_id)
    for index in (1, 2):
        hands.record(hands.claim(run_id, index), DOUBT)

    with refused(hands, "its steps 1, 2 are in doubt; say which one"):
        resolve(hands, run_id, "happened")
    resolve(hands, run_id, "happened", step_index=2)
    resolve(hands, run_id, "happened")
    hands.work()

    assert agentflow.client.get(run_id).status == "done"


def test_no_call_is_made_again_in_a_run_that_is_being_stopped(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    agentflow.client.operations.cancel(run_id, by="ada")

    with refused(hands, r"it is being stopped \(cancel\) and makes no call again"):
        resolve(hands, run_id, "retry")


def test_no_call_is_made_again_without_an_attempt_left(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id = hands.begin(shipping, {"n": 1}, budget={"attempts": 1})
    hands.record(hands.claim(run_id), DOUBT)

    with refused(hands, "its budget of 1 attempts is used up"):
        resolve(hands, run_id, "retry")


@pytest.mark.parametrize("run_id", ["nonsense", "01a203c4-30b2-70db-b23c-5b03044fcb4e"])
def test_a_run_that_is_not_there_is_not_found(agentflow: Harness, run_id: str) -> None:
    with pytest.raises(RunNotFound):
        agentflow.client.operations.resolve(run_id, "happened", by="ada")


def test_the_run_of_another_tenant_is_not_found(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    others = Operations(agentflow.client.database, "others", lambda hint: None)

    for order in (others.cancel, others.pause, others.resume, others.retry):
        with pytest.raises(RunNotFound):
            order(run_id, by="eve")
    with pytest.raises(RunNotFound):
        others.resolve(run_id, "happened", by="eve")
    with pytest.raises(RunNotFound):
        others.fork(run_id, 0, by="eve")

    assert hands.run_row(run_id)["status"] == "waiting_human"


def test_a_resolution_whose_commit_was_not_answered_is_known_again(agentflow: Harness) -> None:
    hands = Hands(agentflow, shipping)
    run_id, _ = in_doubt(hands)
    answers = LostAnswers(agentflow.client.database)
    answers.lose_next()

    resolve(hands, run_id, "retry")
    hands.work()

    assert (answers.lost, len(acts(hands, run_id)), ARRIVED) == (1, 1, ["parcel 1"])
    assert agentflow.client.get(run_id).status == "done"
