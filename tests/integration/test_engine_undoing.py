"""A run that fails undoes what it did: which effects those are, in which order, and what each undoing is given."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Budget, Compensate, Context, Fail, Handoff, ToolError, tool
from agentflow.declare.declaration import Declaration
from agentflow.domain.outcome import Completed
from agentflow.engine.late import keep_late_outcome
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.deeds import (
    GIVEN,
    LOG,
    Raising,
    a_deed,
    begun,
    deciding,
    failing,
    look,
    raising,
    refuse,
    side_by_side,
    transitions,
    undone,
    worked,
)
from tests.integration.hands import Hands
from tests.integration.order_shop import OrderShop, buying
from tests.integration.outside import Endpoint

pytest_plugins = ["tests.integration.outside_server"]

MODEL = "openai:gpt-4o-mini"
order, pack, ship = a_deed("order"), a_deed("pack"), a_deed("ship")


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    LOG.clear()
    GIVEN.clear()


def test_an_order_whose_charge_is_refused_is_cancelled(agentflow: Harness, endpoint: Endpoint) -> None:
    shop = OrderShop(endpoint)

    run = agentflow.run(buying, {"url": shop.url, "item": "a chair"})

    key = f"{run.run_id}:0"
    assert shop.log == [f"ordered o-1 under {key}", "refused the card", f"cancelled o-1 of {key}"]
    assert [(step.tool_name, step.status) for step in run.steps] == [
        ("order", "ok"),
        ("charge", "error"),
        ("compensate", "ok"),
    ]
    assert (run.status, run.record.compensation, run.error["kind"]) == ("failed", "done", "tool_failed")
    assert "card refused" in run.error["message"]
    assert "compensation" not in run.error


def test_a_run_that_is_undone_goes_through_legal_statuses_that_say_why(agentflow: Harness) -> None:
    run = worked(Hands(agentflow, agent := failing(order)), agent)

    assert transitions(run) == ["pending", "running", "compensating", "failed"]
    assert [each["reason"] for each in run.transitions][2:] == ["tool_failed", "tool_failed"]


def test_the_newest_effect_is_undone_first_and_each_by_itself(agentflow: Harness) -> None:
    agent = failing(order, pack, ship)
    hands = Hands(agentflow, agent)
    run_id = begun(hands, agent, steps=4)

    for index, subject in ((4, 2), (5, 1), (6, 0)):
        assert hands.step_row(run_id, index)["subject_index"] == subject
        assert len(look(hands, run_id).steps) == index + 1
        hands.do(run_id, index)

    assert LOG == ["order", "pack", "ship", "undo ship", "undo pack", "undo order"]
    assert look(hands, run_id).record.compensation == "done"


def test_an_undoing_is_given_the_result_the_arguments_and_both_keys(agentflow: Harness) -> None:
    run = worked(Hands(agentflow, agent := failing(order)), agent, {"n": 7})

    made, undoing = run.steps[0], run.steps[2]
    [given] = GIVEN
    assert given == {"made": made.output, "n": 7, "key": undoing.idempotency_key, "subject_key": made.idempotency_key}
    assert made.idempotency_key != undoing.idempotency_key
    assert undoing.output == "order is undone"


def test_the_undoing_has_the_class_the_queue_and_the_gate_that_its_tool_says(agentflow: Harness) -> None:
    deed = a_deed("order", undo="idempotent", queue="shop")
    hands = Hands(agentflow, agent := failing(deed))
    run_id = begun(hands, agent, steps=2)

    row = hands.step_row(run_id, 2)
    assert (row["effect"], row["queue"], row["bulkhead"]) == ("idempotent", "shop", "order")
    assert (row["task_name"], row["subject_tool"]) == ("step.order.compensate", "order")


@pytest.mark.parametrize("effect", ["transactional", "keyed", "idempotent", "verified", "unsafe"])
def test_what_a_tool_of_any_class_did_is_undone(agentflow: Harness, effect: str) -> None:
    deed = a_deed("act", effect=effect, undo="transactional")

    run = worked(Hands(agentflow, agent := failing(deed)), agent)

    assert (LOG, run.status, run.record.compensation) == (["act", "undo act"], "failed", "done")


def test_a_run_that_did_nothing_that_can_be_undone_ends_at_once_and_nobody_is_asked(agentflow: Harness) -> None:
    @tool(effect="unsafe")
    def greet() -> str:
        return "hello"

    run = worked(Hands(agentflow, agent := failing(greet, on_failure="ask")), agent)

    assert (run.status, run.record.compensation, len(run.steps)) == ("failed", None, 2)
    assert transitions(run) == ["pending", "running", "failed"]
    assert agentflow.client.approvals.list(status=None) == []


def an_agent(**declared: Any) -> Agent:
    told = {"on_failure": None, **declared}
    return Agent("clerk", model=MODEL, tools=[order, pack, refuse_to_go_on], **told)


@tool(effect="read", on_error="fail")
def refuse_to_go_on() -> str:
    """The tool that ends its agent's run."""
    raise ToolError("refused", happened=False)


KINDS = ["agent", "pipeline", "workflow"]


def of_kind(kind: str, on_failure: str | None) -> Declaration:
    if kind == "agent":
        return an_agent(on_failure=on_failure)
    declare: Any = failing if kind == "pipeline" else deciding
    return declare(order, on_failure=on_failure)  # type: ignore[no-any-return]


def ended(agentflow: Harness, agent: Declaration) -> Any:
    model = scripted(call("order"), call("refuse_to_go_on"), "unheard")
    return worked(Hands(agentflow, agent, **({"model": model} if isinstance(agent, Agent) else {})), agent, "go")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_run_of_any_kind_did_is_undone_where_it_says_so(agentflow: Harness, kind: str) -> None:
    run = ended(agentflow, of_kind(kind, "compensate"))

    assert (run.status, run.record.compensation, LOG) == ("failed", "done", ["order", "undo order"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_run_of_any_kind_did_stays_where_it_says_so(agentflow: Harness, kind: str) -> None:
    run = ended(agentflow, of_kind(kind, "keep"))

    assert (run.status, run.record.compensation, LOG) == ("failed", None, ["order"])


@pytest.mark.parametrize(
    ("kind", "status"), [("agent", "waiting_human"), ("pipeline", "failed"), ("workflow", "waiting_human")]
)
def test_where_nothing_is_said_a_pipeline_undoes_and_others_ask(agentflow: Harness, kind: str, status: str) -> None:
    run = ended(agentflow, of_kind(kind, None))

    assert (run.status, "undo order" in LOG) == (status, status == "failed")


@pytest.mark.parametrize("on_failure", ["keep", "ask", "compensate"])
def test_a_coordinator_that_decides_to_undo_is_obeyed_whatever_on_failure_says(
    agentflow: Harness, on_failure: str
) -> None:
    agent = deciding(order, pack, end=Compensate("sold_out", "no seat", 1), on_failure=on_failure)

    run = worked(Hands(agentflow, agent), agent)

    assert LOG == ["order", "pack", "undo pack", "undo order"]
    assert (run.status, run.record.compensation) == ("failed", "done")
    assert run.error == {"kind": "sold_out", "message": "no seat", "step_index": 1}


def test_a_coordinator_that_undoes_nothing_just_fails(agentflow: Harness) -> None:
    agent = deciding(refuse, end=Compensate("sold_out"))

    run = worked(Hands(agentflow, agent), agent)

    assert (run.status, run.record.compensation, run.error["kind"]) == ("failed", None, "sold_out")


@pytest.mark.parametrize("decision", [Fail("sold_out", "no \ud800 seat \x00 left"), Compensate("sold_out", "\ud800")])
@pytest.mark.parametrize("on_failure", ["compensate", "ask"])
def test_a_message_that_no_database_can_hold_stands_in_the_way_of_no_undoing(
    agentflow: Harness, decision: Any, on_failure: str
) -> None:
    agent = deciding(order, end=decision, on_failure=on_failure)
    hands = Hands(agentflow, agent)
    run_id = begun(hands, agent, steps=1)

    assert look(hands, run_id).status in {"compensating", "waiting_human"}
    assert hands.causes() == set()


def test_an_effect_after_which_a_ceiling_ends_the_run_is_undone_too(agentflow: Harness) -> None:
    agent = failing(order, pack, budget=Budget(tool_calls=2))

    run = worked(Hands(agentflow, agent), agent)

    assert LOG == ["order", "pack", "undo pack", "undo order"]
    assert (run.error["kind"], run.record.compensation) == ("budget_tool_calls", "done")


def test_a_ceiling_after_which_a_run_is_undone_is_told_of(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order, budget=Budget(tool_calls=1)))

    run_id = begun(hands, agent, steps=1)

    assert look(hands, run_id).status == "compensating"
    assert hands.causes() == {"budget_tool_calls"}


def test_a_run_that_ends_by_its_fallback_keeps_what_it_did(agentflow: Harness) -> None:
    agent = failing(order, budget=Budget(tool_calls=1), fallback=Handoff())

    run = worked(Hands(agentflow, agent), agent)

    assert (run.status, run.record.outcome, run.record.compensation, LOG) == ("done", "handoff", None, ["order"])


def test_a_failure_that_certainly_did_not_happen_is_not_undone(agentflow: Harness) -> None:
    agent = failing(order, a_deed("pack", does=raising(happened=False)))

    run = worked(Hands(agentflow, agent), agent)

    assert (undone(run), LOG) == ([0], ["order", "undo order"])


@pytest.mark.parametrize("said", [{}, {"happened": True}], ids=["may have", "did"])
def test_a_failure_that_may_have_happened_is_undone_first_with_none_for_its_result(
    agentflow: Harness, said: dict[str, Any]
) -> None:
    agent = failing(order, a_deed("pack", does=raising(**said)))

    run = worked(Hands(agentflow, agent), agent)

    assert (undone(run), LOG) == ([1, 0], ["order", "undo pack", "undo order"])
    assert (GIVEN[0]["made"], GIVEN[0]["subject_key"]) == (None, f"{run.run_id}:1")


@pytest.mark.parametrize("effect", ["keyed", "idempotent"])
def test_an_attempt_that_may_have_happened_is_undone_though_the_next_was_certainly_refused(
    agentflow: Harness, effect: str
) -> None:
    agent = failing(order, a_deed("pack", effect=effect, does=cut_then_refused()))
    hands = Hands(agentflow, agent)

    run = worked(hands, agent)

    assert (undone(run), LOG) == ([1, 0], ["order", "undo pack", "undo order"])
    assert hands.step_row(run.run_id, 1)["error"]["happened"] is None
    assert [row["error"]["happened"] for row in hands.harness.client.steps(run.run_id)[1].tries] == [None, False]


def cut_then_refused() -> Raising:
    answers = iter([{"kind": "transient"}, {"kind": "bad_input", "happened": False}])

    def fail(_: Context) -> None:
        raise ToolError("no", **next(answers))

    return fail


def test_what_may_have_happened_and_needs_its_result_to_be_undone_is_left_to_a_person(agentflow: Harness) -> None:
    agent = failing(order, a_deed("pack", does=raising(), needs_result=True))
    hands = Hands(agentflow, agent)

    run = worked(hands, agent)

    assert (run.status, run.record.compensation, LOG) == ("failed", "failed", ["order"])
    assert "'pack' (step 1) may have happened" in run.error["compensation"]
    assert hands.causes() == {"compensation_failed"}


def test_what_a_conflict_of_notes_failed_is_undone_with_what_it_gave(agentflow: Harness) -> None:
    def note(ctx: Any) -> None:
        ctx.scratchpad["who"] = ctx.step_index

    agent = side_by_side(a_deed("pack", does=note), a_deed("ship", does=note), on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    pack_claim, ship_claim = hands.claim(run_id, 0), hands.claim(run_id, 1)
    hands.record(pack_claim, Completed({"made": "pack"}, {"who": 0}))
    hands.record(ship_claim, Completed({"made": "ship"}, {"who": 1}))
    hands.advance(run_id)
    hands.work()

    assert look(hands, run_id).steps[1].error["kind"] == "scratchpad_conflict"
    assert [given["made"] for given in GIVEN] == [{"made": "ship"}, {"made": "pack"}]


def test_a_result_that_came_too_late_is_undone_too(agentflow: Harness) -> None:
    agent = deciding(order, pack, on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = begun(hands, agent, steps=1)
    claim = hands.claim(run_id, 1)
    hands.sql("update agentflow.agent_steps set quarantined = true, deaths = 2 where step_index = 1")
    hands.lose(claim)
    late(hands, claim, Completed({"made": "pack, late"}))

    hands.work()

    run = look(hands, run_id)
    assert (run.steps[1].error["kind"], undone(run)) == ("poison", [1, 0])
    assert GIVEN[0]["made"] == {"made": "pack, late"}
    assert hands.causes() == {"poison", "late_result"}


def test_a_result_that_came_too_late_is_known_to_a_decision_made_at_once(agentflow: Harness) -> None:
    @tool(effect="keyed")
    def post(ctx: Context) -> dict[str, Any]:
        """Post something."""
        return {"made": ctx.idempotency_key}

    @post.compensate(effect="idempotent")
    def unpost(made: dict[str, Any]) -> None:
        GIVEN.append(made)

    agent = Agent("poster", model=MODEL, tools=[post, refuse_to_go_on], on_failure="compensate")
    hands = Hands(agentflow, agent, model=scripted(call("post"), call("refuse_to_go_on")))
    run_id = begun(hands, agent, steps=1, input="go")
    claim = hands.claim(run_id, 1)
    hands.sql("update agentflow.agent_steps set quarantined = true, deaths = 2 where step_index = 1")
    hands.lose(claim)
    late(hands, claim, Completed({"made": "late"}))

    hands.work()

    assert GIVEN == [{"made": "late"}]
    assert look(hands, run_id).record.compensation == "done"


def late(hands: Hands, claim: Any, outcome: Any) -> None:
    """Have an attempt record what it came to after it was given up."""
    assert hands.record(claim, outcome) is None
    keep_late_outcome(hands.runtime, claim, outcome)


@pytest.mark.parametrize("verdict", ["happened", "not_happened"])
def test_a_doubt_is_verified_before_anything_is_undone(agentflow: Harness, verdict: str) -> None:
    charge = a_deed("charge", effect="verified", undo="idempotent", settle_s=0)
    agent = side_by_side(order, charge, refuse, on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    hands.do(run_id, 0)
    hands.lose(hands.claim(run_id, 1), Evidence.LEASE_OVER)
    hands.do(run_id, 2)

    assert hands.refusal(run_id, 1)[0] == "duplicate"
    assert (look(hands, run_id).steps[-1].tool_name, LOG) == ("verify", ["order"])
    answer = {"verdict": verdict, **({"result": {"made": "charge"}} if verdict == "happened" else {})}
    hands.record(hands.claim(run_id, 3), Completed(answer))
    hands.advance(run_id)
    hands.work()

    run = look(hands, run_id)
    assert undone(run) == ([1, 0] if verdict == "happened" else [0])
    assert (run.steps[1].status, run.record.compensation) == ("ok" if verdict == "happened" else "skipped", "done")


def test_a_doubt_waits_for_a_person_before_anything_is_undone(agentflow: Harness) -> None:
    charge = a_deed("charge", effect="unsafe")
    agent = side_by_side(order, charge, refuse, on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    hands.do(run_id, 0)
    hands.lose(hands.claim(run_id, 1), Evidence.LEASE_OVER)
    hands.do(run_id, 2)
    hands.work()

    assert (look(hands, run_id).status, LOG) == ("waiting_human", ["order"])
    agentflow.client.operations.resolve(run_id, "happened", answer={"made": "charge"}, by="ada")
    hands.work()

    assert LOG == ["order", "undo charge", "undo order"]
    assert look(hands, run_id).record.compensation == "done"


def test_siblings_that_still_run_are_recorded_before_anything_is_undone(agentflow: Harness) -> None:
    agent = side_by_side(order, pack, refuse, ship, on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    hands.do(run_id, 0)
    sibling = hands.claim(run_id, 1)
    hands.do(run_id, 2)

    run = look(hands, run_id)
    assert [step.status for step in run.steps] == ["ok", "running", "error", "skipped"]
    assert (run.status, run.record.current_step) == ("running", 3)

    hands.record(sibling, Completed({"made": "pack"}))
    hands.advance(run_id)
    hands.work()

    assert undone(look(hands, run_id)) == [1, 0]
    assert LOG == ["order", "undo pack", "undo order"]


def test_a_sibling_that_still_runs_is_waited_for_though_something_can_not_be_undone(agentflow: Harness) -> None:
    agent = side_by_side(order, a_deed("pack", does=raising(), needs_result=True), ship, on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    sibling = hands.claim(run_id, 0)
    hands.do(run_id, 1)

    run = look(hands, run_id)
    assert ([step.status for step in run.steps], run.status) == (["running", "error", "skipped"], "running")

    hands.record(sibling, Completed({"made": "order"}))
    hands.advance(run_id)

    run = look(hands, run_id)
    assert (run.status, run.record.compensation) == ("failed", "failed")


def test_a_sibling_that_waits_for_another_attempt_is_skipped_and_undone_where_it_may_have_happened(
    agentflow: Harness,
) -> None:
    agent = side_by_side(order, a_deed("pack", does=raising(kind="transient")), refuse, on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    for index in range(3):
        hands.do(run_id, index)
    hands.work()

    run = look(hands, run_id)
    assert (run.steps[1].status, undone(run), LOG) == ("skipped", [1, 0], ["order", "undo pack", "undo order"])


def test_what_an_agents_calls_did_side_by_side_is_undone_in_the_order_of_its_steps(agentflow: Harness) -> None:
    agent = an_agent(on_failure="compensate")
    model = scripted(calls(call("order"), call("pack"), call("refuse_to_go_on")))

    run = worked(Hands(agentflow, agent, model=model), agent, "go")

    assert (undone(run), run.record.compensation) == ([2, 1], "done")


def test_undoing_counts_neither_as_a_call_nor_as_an_attempt_of_the_run(agentflow: Harness) -> None:
    run = worked(Hands(agentflow, agent := failing(order, pack)), agent)

    assert (len(run.steps), run.record.attempts, run.record.tool_calls) == (5, 3, 3)
    assert run.record.current_step == 4


def test_the_turn_of_a_conversation_is_passed_on_when_all_is_undone(agentflow: Harness) -> None:
    agent = failing(order)
    hands = Hands(agentflow, agent)
    run_id = begun(hands, agent, steps=2, conversation="c1")
    next_id = hands.submit(agent, {}, conversation="c1")

    assert (look(hands, run_id).status, hands.advance(next_id).answer) == ("compensating", "conversation_turn")
    hands.do(run_id, 2)

    assert look(hands, run_id).record.compensation == "done"
    assert hands.advance(next_id).answer == "next"


def test_a_pydantic_result_that_does_not_fit_any_more_is_not_undone_and_not_called(agentflow: Harness) -> None:
    @tool(effect="unsafe")
    def post() -> dict[str, Any]:
        return {"number": 1}

    @post.compensate
    def unpost(made: dict[str, int]) -> None:
        LOG.append("undo post")

    hands = Hands(agentflow, agent := failing(post))
    run_id = begun(hands, agent, steps=2)
    hands.sql(
        "update agentflow.agent_steps set tool_input = jsonb_set(tool_input::jsonb, '{result}', '\"x\"')"
        " where tool_name = 'compensate'"
    )
    hands.work()

    run = look(hands, run_id)
    assert (run.steps[2].status, run.steps[2].error["kind"], run.steps[2].error["happened"]) == (
        "error",
        "bad_input",
        False,
    )
    assert (LOG, run.record.compensation) == ([], "failed")
