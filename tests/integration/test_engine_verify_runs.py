"""Runs while one of their steps is verified: they wait for it, whatever they are asked, and their models are told."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Pipeline, Run, Workflow, tool
from agentflow.declare.declaration import Declaration
from agentflow.domain.decision import Decision, Fail, Next, Wait
from agentflow.domain.step import NewStep
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.faulty import Answer
from tests.integration.gated import obey, swept
from tests.integration.hands import Hands
from tests.integration.outside import Endpoint, make_due, standing, step_error
from tests.integration.tills import CANNOT_TELL, Till, a_payment, begun, path_of, paying

pytest_plugins = ["tests.integration.outside_server"]

MODEL = "openai:gpt-4o-mini"


@pytest.fixture
def till(endpoint: Endpoint) -> Till:
    return Till(endpoint)


@tool(effect="read")
def look() -> str:
    return "seen"


def doubted(harness: Harness, till: Till, agent: Declaration | None = None, **input: Any) -> tuple[Hands, str]:
    """A run whose first step is about to be verified."""
    hands, run_id = begun(harness, till, agent, **input)
    hands.do(run_id)
    assert path_of(hands, run_id)[-1] == ("verify", "pending")
    hands.drop_hints()
    return hands, run_id


def cancel(hands: Hands, run_id: str) -> None:
    hands.harness.client.operations.cancel(run_id, by="ada")


def overrun(hands: Hands, run_id: str) -> None:
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'")
    obey(hands, swept(hands))


ENDED = {"cancel": (cancel, "cancelled"), "deadline": (overrun, "failed")}
ENDS = pytest.mark.parametrize(("end", "status"), ENDED.values(), ids=list(ENDED))


def test_a_runs_time_stands_still_while_its_step_is_verified(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = doubted(agentflow, till)

    row = hands.run_row(run_id)
    hands.work()

    assert (row["waiting_reason"], row["deadline_at"]) == ("verifying", None)
    assert 0 < row["time_left_s"] <= 900
    assert agentflow.client.get(run_id).status == "done"


@ENDS
def test_a_run_that_is_stopped_verifies_first_and_is_not_over_before(
    agentflow: Harness, till: Till, end: Any, status: str
) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = doubted(agentflow, till)

    end(hands, run_id)
    hands.advance(run_id)
    assert (agentflow.client.get(run_id).status, till.asked) == ("waiting_tool", 0)
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, till.asked) == (status, 1)
    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "ok")]
    assert run.outcome is None


@ENDS
def test_what_did_not_happen_is_not_made_again_in_a_run_that_is_stopped(
    agentflow: Harness, till: Till, end: Any, status: str
) -> None:
    till.pays(till.cuts, till.books)
    hands, run_id = doubted(agentflow, till, paying(key="pay:{order_id}"), order_id="7")

    end(hands, run_id)
    hands.work()

    assert (agentflow.client.get(run_id).status, till.paid) == (status, 1)
    assert path_of(hands, run_id) == [("pay", "skipped"), ("verify", "ok")]
    assert hands.sql("select * from agentflow.idempotency_records") == []


@ENDS
def test_a_stopped_run_of_which_nobody_can_tell_waits_for_a_person(
    agentflow: Harness, till: Till, end: Any, status: str
) -> None:
    till.pays(till.books_and_cuts)
    till.says(Answer(CANNOT_TELL))
    hands, run_id = doubted(agentflow, till)

    end(hands, run_id)
    hands.work()

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    agentflow.client.operations.resolve(run_id, "fail", by="ada")
    hands.work()
    assert agentflow.client.get(run_id).status == status


def test_a_paused_run_is_verified_once_it_goes_on(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = doubted(agentflow, till)
    agentflow.client.operations.pause(run_id, by="ada")
    make_due(hands)

    assert hands.refusal(run_id, 1) == ("run_stopped", "paused")
    assert (agentflow.client.get(run_id).status, till.asked) == ("paused", 0)
    agentflow.client.operations.resume(run_id, by="ada")
    hands.work()

    assert (agentflow.client.get(run_id).status, till.asked) == ("done", 1)


def abreast(*, end: Decision | None = None) -> Workflow:
    """A payment and a look, side by side; with `end` the run ends so as soon as it has been looked."""

    def decide(run: Run, history: Any) -> Decision:
        if not history:
            return Next([NewStep("pay", {"url": run.input["url"]}), NewStep("look", {})])
        if end is not None and history[1].status == "ok":
            return end
        return Wait() if any(step.is_open for step in history) else Fail("over", "all is done")

    return Workflow("abreast", decide=decide, tools=[a_payment(), look], on_failure="keep")


def test_siblings_go_on_while_a_step_is_verified(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till, abreast())
    hands.do(run_id, 0)

    hands.do(run_id, 1)

    assert path_of(hands, run_id) == [("pay", "in_doubt"), ("look", "ok"), ("verify", "pending")]
    assert standing(hands, run_id) == ("waiting_tool", "verifying")
    hands.work()
    assert path_of(hands, run_id) == [("pay", "ok"), ("look", "ok"), ("verify", "ok")]


def test_a_run_that_fails_beside_a_doubt_ends_once_that_is_verified(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till, abreast(end=Fail("sold_out", "no seat is left")))
    hands.do(run_id, 0)
    hands.do(run_id, 1)

    hands.advance(run_id)
    assert standing(hands, run_id) == ("waiting_tool", "verifying")
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error and run.error["kind"]) == ("failed", "sold_out")
    assert (path_of(hands, run_id)[0], till.asked) == (("pay", "ok"), 1)


def test_a_verification_whose_hint_is_lost_is_found_by_the_sweeper_once_it_is_due(
    agentflow: Harness, till: Till
) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = doubted(agentflow, till)
    assert swept(hands) == []

    make_due(hands)
    [hint] = swept(hands)
    obey(hands, [hint])

    assert (hint.task_name, hint.queue, hint.step_index) == ("step.pay.verify", "tool.pay", 1)
    assert agentflow.client.get(run_id).status == "done"


def test_the_next_run_of_a_conversation_waits_for_the_verification(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts, till.books)
    agent = paying()
    hands = Hands(agentflow, agent)
    first, second = (hands.submit(agent, {"url": till.url}, conversation="c") for _ in range(2))
    hands.advance(first)
    hands.do(first)

    assert hands.advance(second).answer == "conversation_turn"
    hands.work()

    assert [agentflow.client.get(run_id).status for run_id in (first, second)] == ["done", "done"]
    assert till.booked == [f"{first}:0", f"{second}:0"]


def clerk(**payment: Any) -> Agent:
    """An agent that can pay and look."""
    return Agent("clerk", model=MODEL, tools=[a_payment(**payment), look])


def told(request: Any) -> list[str]:
    """What a model was told of its calls."""
    return [message["content"] for message in request.messages if message["role"] == "tool"]


def test_a_model_is_told_what_the_verification_found_and_no_more(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    asked = calls(call("pay", url=till.url), call("look"))

    run = agentflow.run(clerk(), "go", model=scripted(asked, lambda request: " and ".join(told(request))))

    assert run.result == f'{{"key": "{run.run_id}:1", "number": 1}} and seen'
    assert [step.tool_name for step in run.steps] == ["model", "pay", "look", "verify", "model"]
    assert run.record.tool_calls == 2


def test_a_model_is_told_of_a_failure_that_did_not_happen_as_of_one(agentflow: Harness, till: Till) -> None:
    def trip(url: str) -> None:
        raise ZeroDivisionError("oh")

    model = scripted(call("pay", url=till.url), lambda request: told(request)[-1])

    run = agentflow.run(clerk(pays=trip), "go", model=model)

    assert run.result == '{"error": {"kind": "bug", "message": "ZeroDivisionError: oh"}}'


def test_a_model_is_not_asked_on_while_a_person_has_to_say(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    till.says(Answer(CANNOT_TELL))
    hands = Hands(agentflow, clerk(), model=scripted(call("pay", url=till.url), lambda request: told(request)[-1]))
    run_id = hands.submit(clerk(), "go")
    hands.work()

    assert path_of(hands, run_id) == [("model", "ok"), ("pay", "in_doubt"), ("verify", "ok")]
    agentflow.client.operations.resolve(run_id, "happened", answer="paid by hand", by="ada")
    hands.work()
    assert agentflow.client.get(run_id).result == "paid by hand"


def test_a_step_that_could_not_be_verified_says_so_to_the_model(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    till.says(Answer(CANNOT_TELL))
    hands = Hands(agentflow, clerk(), model=scripted(call("pay", url=till.url), lambda request: told(request)[-1]))
    run_id = hands.submit(clerk(), "go")
    hands.work()
    agentflow.client.operations.resolve(run_id, "fail", by="ada", reason="lost")
    hands.work()

    assert '"may_have_happened": true' in agentflow.client.get(run_id).result
    assert step_error(hands, run_id, 1)["happened"] is None


def test_a_pipeline_goes_on_with_what_the_verification_found(agentflow: Harness, till: Till) -> None:
    @tool(effect="read")
    def count(pay: dict[str, Any]) -> int:
        return int(pay["number"])

    till.pays(till.books_and_cuts)

    run = agentflow.run(Pipeline("counting", [a_payment(), count]), {"url": till.url})

    assert (run.status, run.result) == ("done", 1)
    assert [step.tool_name for step in run.steps] == ["pay", "verify", "count"]
