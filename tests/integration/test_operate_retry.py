"""An operator retries a failed run: at the step that failed, under the same key, and never so that it happens twice."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Pipeline, ToolError, tool
from agentflow.domain.outcome import Failed, Retrying
from agentflow.store import steps
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers
from tests.integration.operated import DOUBT, acts, operations_of, refused
from tests.integration.outside import make_due

DONE: list[str] = []
BROKEN: set[str] = set()


@pytest.fixture(autouse=True)
def all_is_well() -> None:
    DONE.clear()
    BROKEN.clear()


def do(what: str, key: str = "") -> str:
    if what in BROKEN:
        raise ToolError(f"{what} is out of order", happened=False)
    if "credit" in BROKEN:
        raise ToolError("no credit left", kind="quota")
    DONE.append(f"{what} {key}".strip())
    return f"{what} done"


@tool(effect="unsafe")
def order(n: int) -> str:
    return do("order")


@order.compensate(effect="idempotent")
def cancel_order(result: str) -> None:
    do("cancel_order")


@tool(effect="keyed", key="charge:{n}", on_error="fail")
def charge(ctx: Context, n: int) -> str:
    return do("charge", ctx.idempotency_key)


@tool(effect="read")
def report(charge: str) -> str:
    return do("report")


@tool(effect="unsafe", on_error="fail")
def post(text: str) -> str:
    return do("post")


@tool(effect="idempotent", approval=True)
def donate(amount: int) -> str:
    return do("donate")


donor = Agent("donor", model="openai:gpt-4o-mini", tools=[charge, donate], on_failure="keep")
kept = Pipeline("kept", [order, charge, report], on_failure="keep")
undone = Pipeline("undone", [order, charge], on_failure="compensate")
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[charge, post, order], on_failure="keep")


def retry(hands: Hands, run_id: str, **said: Any) -> None:
    operations_of(hands).retry(run_id, **{"by": "ada", **said})


def failed(hands: Hands, agent: Pipeline = kept, *broken: str) -> str:
    """Bring a run to its failure: something is out of order, the charge unless told otherwise."""
    BROKEN.update(broken or {"charge"})
    run_id = hands.begin(agent, {"n": 1})
    hands.work()
    assert agentflow_status(hands, run_id) == "failed"
    return run_id


def agentflow_status(hands: Hands, run_id: str) -> str:
    return hands.harness.client.get(run_id).status


def mend() -> None:
    BROKEN.clear()
    DONE.clear()


def test_a_failed_run_goes_on_at_the_step_that_failed_under_the_same_key(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)
    key = hands.step_row(run_id, 1)["idempotency_key"]
    mend()

    retry(hands, run_id, reason="the bank is back")
    hands.work()

    run, tried = agentflow.client.get(run_id), agentflow.client.steps(run_id)
    assert (run.status, run.result, run.error) == ("done", "report done", None)
    assert [(step.status, step.attempt) for step in tried] == [("ok", 1), ("ok", 2), ("ok", 1)]
    assert [f"charge {key}", "report"] == DONE


def test_who_retried_and_why_and_what_had_failed_is_written_down(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)

    retry(hands, run_id, reason="the bank is back", budget={"attempts": 80})

    [act] = acts(hands, run_id)
    details = act["details"]
    assert (act["act"], act["done_by"], act["reason"]) == ("retried", "ada", "the bank is back")
    assert (details["steps"], details["budget"], details["ended"]["kind"]) == ([1], {"attempts": 80}, "tool_failed")
    changes = [(row["old"], row["new"], row["reason"]) for row in agentflow.client.transitions(run_id)]
    assert changes[-1] == ("failed", "running", "retried")


def test_a_run_that_fails_again_can_be_retried_again(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)

    retry(hands, run_id)
    hands.work()
    assert agentflow_status(hands, run_id) == "failed"
    mend()
    retry(hands, run_id)
    hands.work()

    assert agentflow_status(hands, run_id) == "done"


def test_a_retried_run_has_its_time_anew(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1})
    hands.do(run_id)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 hour'")
    hands.refusal(run_id, 1)
    hands.work()
    assert agentflow.client.get(run_id).error["kind"] == "deadline"

    retry(hands, run_id)
    hands.claim(run_id, 1)

    query = "select extract(epoch from deadline_at - clock_timestamp())::float from agentflow.agent_runs"
    assert 880 < hands.value(query) <= 900


def test_a_step_that_waited_for_another_attempt_when_the_time_was_over_is_tried_again(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1})
    hands.do(run_id)
    unavailable = Failed("transient", "unavailable", happened=False, status=503)
    hands.record(hands.claim(run_id, 1), Retrying(unavailable, 30.0, "retry_transient"))
    hands.sql("update agentflow.agent_runs set stop_requested = 'deadline' where run_id = %(id)s", id=run_id)
    hands.work()
    assert [step.status for step in agentflow.client.steps(run_id)] == ["ok", "skipped"]

    retry(hands, run_id)
    hands.work()

    assert (agentflow_status(hands, run_id), DONE) == ("done", ["order", "charge charge:1", "report"])


def test_the_failures_before_a_retry_do_not_count_against_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1})
    hands.do(run_id)
    unavailable = Failed("transient", "unavailable", happened=False, status=503)
    for _ in range(3):
        hands.record(hands.claim(run_id, 1), Retrying(unavailable, 30.0, "retry_transient"))
        make_due(hands)
    hands.record(hands.claim(run_id, 1), Failed("bug", "something else", happened=False))
    hands.work()

    retry(hands, run_id)
    step = agentflow.database.atomically(lambda tx: steps.lock(tx, run_id, 1))

    assert step is not None
    assert agentflow.database.atomically(lambda tx: steps.earlier_failures(tx, step)) == []


def test_an_agents_model_is_not_asked_again_for_what_it_has_answered(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("charge", n=1), "charged"))
    BROKEN.add("charge")
    run_id = hands.begin(clerk, "charge me")
    hands.work()
    assert agentflow.client.get(run_id).error["kind"] == "tool_failed"
    mend()

    retry(hands, run_id)
    hands.work()

    assert agentflow.client.get(run_id).result == "charged"
    assert [step.tool_name for step in agentflow.client.steps(run_id)] == ["model", "charge", "model"]


def test_a_run_whose_first_decision_raised_decides_again(agentflow: Harness) -> None:
    def prompt(value: Any) -> str:
        if "prompt" in BROKEN:
            raise ValueError("no template")
        return str(value)

    asking = Agent("asking", model="openai:gpt-4o-mini", prompt=prompt)
    hands = Hands(agentflow, asking, model=scripted("hello"))
    BROKEN.add("prompt")
    run_id = hands.begin(asking, "hi")
    assert agentflow.client.get(run_id).error["kind"] == "bug"
    mend()

    retry(hands, run_id)
    hands.work()

    assert agentflow.client.get(run_id).result == "hello"


def test_a_step_that_kills_no_more_workers_begins_with_a_clean_slate(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)
    hands.sql("update agentflow.agent_steps set deaths = 3, quarantined = true where step_index = 1")

    retry(hands, run_id)

    row = hands.step_row(run_id, 1)
    assert (row["deaths"], row["quarantined"], row["status"]) == (0, False, "pending")


def test_a_run_at_a_ceiling_needs_a_higher_one(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1}, budget={"steps": 2})
    hands.work()
    assert agentflow.client.get(run_id).error["kind"] == "budget_steps"

    with refused(hands, "it came to its ceiling of 2 steps, and would again; raise it: --budget steps="):
        retry(hands, run_id)
    retry(hands, run_id, budget={"steps": 3})
    hands.work()

    assert agentflow_status(hands, run_id) == "done"
    assert agentflow.client.get(run_id).budget["steps"] == 3


def test_attempts_that_are_used_up_need_to_be_raised(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    BROKEN.add("charge")
    run_id = hands.begin(kept, {"n": 1}, budget={"attempts": 2})
    hands.work()
    mend()

    with refused(hands, "its budget of 2 attempts is used up; raise it: --budget attempts=22"):
        retry(hands, run_id)
    retry(hands, run_id, budget={"attempts": 22})
    hands.work()

    assert agentflow_status(hands, run_id) == "done"


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        ({"money": 1}, "'money' is no ceiling of its budget; raise one of steps"),
        ({"attempts": 3}, "attempts=3 is below its ceiling of 60"),
        ({"attempts": "many"}, "attempts='many' is no ceiling; give a whole number"),
        ({"steps": None}, "steps=None is no ceiling"),
        ({"cost_usd": float("nan")}, "cost_usd=nan is no ceiling"),
    ],
    ids=["unknown", "lower", "no number", "none", "NaN"],
)
def test_a_ceiling_that_is_no_higher_one_is_refused(agentflow: Harness, budget: dict[str, Any], why: str) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)

    with refused(hands, why):
        retry(hands, run_id, budget=budget)


def test_what_a_person_failed_without_knowing_is_not_done_again_before_it_is_known(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1})
    hands.record(hands.claim(run_id), DOUBT)
    operations_of(hands).resolve(run_id, "fail", by="ada")
    hands.work()

    with refused(hands, r"step 0 \(order, unsafe\) may have happened, .* --step 0 fail --did-not-happen"):
        retry(hands, run_id)
    operations_of(hands).resolve(run_id, "fail", step_index=0, did_not_happen=True, by="ada")
    retry(hands, run_id)
    hands.work()

    assert (agentflow_status(hands, run_id), DONE) == ("done", ["order", "charge charge:1", "report"])


def test_what_happened_and_cannot_be_repeated_is_not_done_again(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1})
    hands.record(hands.claim(run_id), Failed("bad_output", "it gave what cannot be kept", happened=True))
    hands.work()

    with refused(hands, r"step 0 \(order, unsafe\) did happen, and a repeat would do it twice"):
        retry(hands, run_id)


@pytest.mark.parametrize("verb", ["done", "cancelled", "running"])
def test_a_run_that_did_not_fail_is_refused(agentflow: Harness, verb: str) -> None:
    hands = Hands(agentflow, kept)
    run_id = hands.begin(kept, {"n": 1})
    hands.do(run_id)
    if verb == "cancelled":
        operations_of(hands).cancel(run_id, by="ada")
    if verb != "running":
        hands.work()

    with refused(hands, f"it is {verb}: "):
        retry(hands, run_id)


def test_a_run_whose_effects_were_undone_is_refused(agentflow: Harness) -> None:
    hands = Hands(agentflow, undone)
    run_id = failed(hands, undone)
    assert agentflow.client.get(run_id).compensation == "done"

    with refused(hands, "what it did has been undone; fork it, from step 0 on"):
        retry(hands, run_id)


def test_an_undoing_that_failed_is_tried_again_and_the_run_ends_undone(agentflow: Harness) -> None:
    hands = Hands(agentflow, undone)
    run_id = failed(hands, undone, "charge", "cancel_order")
    assert agentflow.client.get(run_id).compensation == "failed"
    mend()

    retry(hands, run_id)
    assert agentflow_status(hands, run_id) == "compensating"
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.compensation, run.error["kind"], DONE) == (
        "failed",
        "done",
        "tool_failed",
        ["cancel_order"],
    )


def test_the_failed_undoing_of_a_cancelled_run_is_tried_again_and_the_run_stays_cancelled(agentflow: Harness) -> None:
    hands = Hands(agentflow, undone)
    BROKEN.add("cancel_order")
    run_id = hands.begin(undone, {"n": 1})
    hands.do(run_id)
    agentflow.client.operations.cancel(run_id, compensate=True, by="ann")
    hands.work()
    assert (agentflow.client.get(run_id).status, agentflow.client.get(run_id).compensation) == ("cancelled", "failed")
    mend()

    retry(hands, run_id)
    hands.work()

    assert (agentflow.client.get(run_id).status, agentflow.client.get(run_id).compensation) == ("cancelled", "done")
    assert DONE[-1:] == ["cancel_order"]


def test_an_undoing_that_failed_is_tried_again_though_its_conversation_went_on(agentflow: Harness) -> None:
    hands = Hands(agentflow, undone)
    BROKEN.update({"charge", "cancel_order"})
    first = hands.submit(undone, {"n": 1}, conversation="c1")
    hands.work()
    mend()
    second = hands.submit(undone, {"n": 2}, conversation="c1")
    hands.work()

    retry(hands, first)
    hands.work()

    assert agentflow.client.get(first).compensation == "done"
    assert agentflow.client.get(second).status == "done"


def test_what_waited_for_an_approval_when_the_run_failed_is_asked_again(agentflow: Harness) -> None:
    both = scripted(calls(call("charge", n=1), call("donate", amount=5)), "thank you")
    hands = Hands(agentflow, donor, model=both)
    BROKEN.add("credit")
    run_id = hands.begin(donor, "give")
    hands.work()
    assert agentflow.client.get(run_id).error["kind"] == "quota"
    assert [row["status"] for row in agentflow.client.approvals.list(status=None)] == ["closed"]
    mend()

    retry(hands, run_id)
    hands.work()
    assert hands.run_row(run_id)["waiting_reason"] == "approval"
    [asked] = agentflow.client.approvals.list()
    agentflow.client.approvals.approve(str(asked["approval_id"]), by="bob")
    hands.work()

    assert (agentflow.client.get(run_id).result, DONE) == ("thank you", ["charge charge:1", "donate"])


def test_a_failed_step_may_be_named(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)

    with refused(hands, r"step 0 \(order\) is ok; a failed step can be tried again"):
        retry(hands, run_id, step_index=0)
    mend()
    retry(hands, run_id, step_index=1)
    hands.work()

    assert agentflow_status(hands, run_id) == "done"


def test_a_retry_whose_commit_was_not_answered_is_known_again(agentflow: Harness) -> None:
    hands = Hands(agentflow, kept)
    run_id = failed(hands)
    mend()
    answers = LostAnswers(agentflow.client.database)
    answers.lose_next(meanwhile=hands.work)

    retry(hands, run_id)

    assert (answers.lost, len(acts(hands, run_id)), agentflow_status(hands, run_id)) == (1, 1, "done")


def failed_in_conversation(hands: Hands) -> str:
    BROKEN.add("charge")
    run_id = hands.submit(clerk, "charge me", conversation="c1")
    hands.work()
    assert agentflow_status(hands, run_id) == "failed"
    mend()
    return run_id


def test_a_run_that_a_later_one_of_its_conversation_has_followed_is_refused(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("charge", n=1), "hello"))
    first = failed_in_conversation(hands)
    hands.submit(clerk, "again?", conversation="c1")
    hands.work()

    with refused(hands, "a later run of its conversation 'c1' has begun"):
        retry(hands, first)


def test_a_run_under_way_that_follows_it_is_reason_enough_to_refuse(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("charge", n=1), "hello"))
    first = failed_in_conversation(hands)
    hands.claim(hands.begin(clerk, "again?", conversation="c1"))

    with refused(hands, "a later run of its conversation 'c1' has begun"):
        retry(hands, first)


@pytest.mark.parametrize("planned", [False, True], ids=["in line", "with a step that nobody has claimed"])
def test_a_retried_run_takes_its_turn_back_from_a_run_that_has_not_begun(agentflow: Harness, planned: bool) -> None:
    hands = Hands(agentflow, clerk, model=scripted(call("charge", n=1), "charged", "hello"))
    first = failed_in_conversation(hands)
    second = hands.submit(clerk, "again?", conversation="c1")
    if planned:
        hands.advance(second)

    retry(hands, first)
    hands.advance(second)
    if planned:
        assert hands.refusal(second) == ("run_stopped", "conversation_turn")
    make_due(hands)
    hands.work()

    assert [agentflow.client.get(each).result for each in (first, second)] == ["charged", "hello"]
    ended = [hands.run_row(each)["finished_at"] for each in (first, second)]
    assert ended == sorted(ended)
