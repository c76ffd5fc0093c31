"""Runs that are stopped, by a person, a deadline or a ceiling, undo what they did after that; then they end."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Budget, Handoff, Pipeline, tool
from agentflow.domain.outcome import Completed, Failed
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness, call, scripted
from tests.integration.deeds import (
    LOG,
    a_deed,
    begun,
    deciding,
    failing,
    look,
    once,
    raising,
    side_by_side,
    stop,
    transitions,
    undone,
    worked,
)
from tests.integration.gated import obey, swept
from tests.integration.hands import Hands
from tests.integration.outside import make_due

order, pack, ship = a_deed("order"), a_deed("pack"), a_deed("ship")
UNDO = "cancel_compensate"


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    LOG.clear()


def stopped(hands: Hands, run_id: str, reason: str) -> Any:
    """Have a run stop, move it to its end, and return it."""
    stop(hands, run_id, reason)
    hands.work()
    return look(hands, run_id)


@pytest.mark.parametrize("on_failure", ["keep", "compensate", "ask"])
def test_a_run_that_is_cancelled_with_undoing_is_undone_whatever_it_says_of_failures(
    agentflow: Harness, on_failure: str
) -> None:
    hands = Hands(agentflow, agent := failing(order, pack, on_failure=on_failure))
    run = stopped(hands, begun(hands, agent, steps=2), UNDO)

    assert (run.status, run.record.compensation) == ("cancelled", "done")
    assert LOG == ["order", "pack", "undo pack", "undo order"]
    assert transitions(run) == ["pending", "running", "compensating", "cancelled"]
    assert hands.causes() == set()


@pytest.mark.parametrize("on_failure", ["keep", "compensate", "ask"])
def test_a_run_that_is_cancelled_without_keeps_what_it_did(agentflow: Harness, on_failure: str) -> None:
    hands = Hands(agentflow, agent := failing(order, pack, on_failure=on_failure))
    run = stopped(hands, begun(hands, agent, steps=1), "cancel")

    assert (run.status, run.record.compensation, LOG) == ("cancelled", None, ["order"])
    assert run.steps[1].status == "skipped"


def test_a_run_that_did_nothing_is_cancelled_at_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order))
    run = stopped(hands, begun(hands, agent), UNDO)

    assert (run.status, [step.status for step in run.steps]) == ("cancelled", ["skipped"])
    assert run.record.compensation is None, "there was nothing to undo"


def test_a_call_under_way_is_recorded_before_a_cancelled_run_is_undone(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order))
    run_id = begun(hands, agent)
    claim = hands.claim(run_id)
    stop(hands, run_id, UNDO)
    hands.advance(run_id)
    assert look(hands, run_id).status == "running"

    hands.record(claim, Completed({"made": "order"}))
    hands.advance(run_id)
    hands.work()

    assert (look(hands, run_id).record.compensation, LOG) == ("done", ["undo order"])


def test_a_cancelled_run_whose_undoing_fails_says_so_and_pages(agentflow: Harness) -> None:
    deed = a_deed("order", undoes=raising(happened=False))
    hands = Hands(agentflow, agent := Pipeline("keeping", [deed, pack]))
    run = stopped(hands, begun(hands, agent, steps=1), UNDO)

    assert (run.status, run.record.compensation) == ("cancelled", "failed")
    assert run.error["compensation"] == "what 'order' did (step 0) could not be undone"
    [alert] = agentflow.client.alerts()
    assert "ended cancelled, and what 'order' did" in alert["message"]


def test_undoing_goes_on_when_a_run_that_failed_is_asked_to_stop(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order, pack))
    run = stopped(hands, begun(hands, agent, steps=3), "cancel")

    assert (run.status, run.error["kind"], run.record.compensation) == ("failed", "tool_failed", "done")
    assert undone(run) == [1, 0]


def overdue(hands: Hands) -> None:
    """Let every run's time be over."""
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'")


def test_a_run_past_its_deadline_is_undone_after_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order, pack))
    run_id = begun(hands, agent, steps=2)
    hands.drop_hints()
    overdue(hands)

    obey(hands, swept(hands))
    assert look(hands, run_id).status == "compensating"
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.error["kind"], run.record.compensation) == ("failed", "deadline", "done")
    assert LOG == ["order", "pack", "undo pack", "undo order"]
    assert hands.causes() == {"deadline"}


def test_a_runs_time_stands_still_while_it_is_undone(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order))
    run_id = begun(hands, agent, steps=2)

    assert (hands.run_row(run_id)["deadline_at"], hands.run_row(run_id)["time_left_s"] > 0) == (None, True)
    claim = hands.claim(run_id, 2)
    assert claim.call_s == pytest.approx(5, abs=0.01)
    assert hands.run_row(run_id)["deadline_at"] is None


def test_an_undoing_has_its_whole_time_though_its_run_has_none_left(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order))
    run_id = begun(hands, agent, steps=1)
    overdue(hands)
    stop(hands, run_id, "deadline")
    hands.advance(run_id)

    assert hands.claim(run_id, 2).call_s == pytest.approx(5, abs=0.01)


def test_an_undoing_that_is_tried_again_comes_after_the_deadline_too(agentflow: Harness) -> None:
    deed = a_deed("order", undoes=once(raising(kind="transient")))
    hands = Hands(agentflow, agent := failing(deed))
    run_id = begun(hands, agent, steps=1)
    overdue(hands)
    stop(hands, run_id, "deadline")
    hands.advance(run_id)
    hands.do(run_id, 2)

    assert (look(hands, run_id).status, hands.refusal(run_id, 2)[0]) == ("compensating", "not_due")
    obey(hands, swept(hands))
    make_due(hands)
    hands.do(run_id, 2)
    assert look(hands, run_id).record.compensation == "done"


def test_a_run_without_attempts_left_is_undone(agentflow: Harness) -> None:
    busy = a_deed("pack", does=raising(kind="transient", happened=False))
    hands = Hands(agentflow, agent := failing(order, busy, budget=Budget(attempts=2)))

    run = worked(hands, agent)

    assert (run.error["kind"], run.record.compensation) == ("budget_attempts", "done")
    assert (LOG, run.record.attempts) == (["order", "undo order"], 2)
    assert hands.causes() == {"budget_attempts"}


def test_a_run_out_of_credit_is_undone(agentflow: Harness) -> None:
    broke = a_deed("pack", does=raising(kind="quota"))
    hands = Hands(agentflow, agent := failing(order, broke))

    run = worked(hands, agent)

    assert (run.error["kind"], run.record.compensation, LOG) == ("quota", "done", ["order", "undo order"])


def test_an_undoing_that_meets_a_quota_does_not_stop_its_run_in_another_way(agentflow: Harness) -> None:
    deed = a_deed("order", undoes=raising(kind="quota"))
    hands = Hands(agentflow, agent := failing(deed))

    run = worked(hands, agent)

    assert (run.status, run.error["kind"], run.record.compensation) == ("failed", "tool_failed", "failed")
    assert run.record.stop_requested is None
    assert hands.causes() == {"quota", "compensation_failed"}


def test_a_run_that_is_stopped_and_says_keep_keeps_what_it_did(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order, pack, on_failure="keep"))
    run = stopped(hands, begun(hands, agent, steps=1), "deadline")

    assert (run.status, run.record.compensation, LOG) == ("failed", None, ["order"])


def test_a_run_past_its_deadline_that_is_handed_over_keeps_what_it_did(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order, pack, fallback=Handoff()))
    run = stopped(hands, begun(hands, agent, steps=1), "deadline")

    assert (run.status, run.record.outcome, run.record.compensation, LOG) == ("done", "handoff", None, ["order"])


def test_what_had_not_begun_is_skipped_and_never_undone(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := side_by_side(order, pack, ship))
    run_id = hands.begin(agent)
    hands.do(run_id, 1)
    run = stopped(hands, run_id, UNDO)

    assert [step.status for step in run.steps] == ["skipped", "ok", "skipped", "ok"]
    assert (undone(run), LOG) == ([1], ["pack", "undo pack"])


@pytest.mark.parametrize("outcome", ["ok", "not happened", "lost"])
def test_a_sibling_under_way_is_waited_for_and_undone_where_it_may_have_happened(
    agentflow: Harness, outcome: str
) -> None:
    hands = Hands(agentflow, agent := side_by_side(order, pack))
    run_id = hands.begin(agent)
    hands.do(run_id, 0)
    sibling = hands.claim(run_id, 1)
    stop(hands, run_id, UNDO)
    hands.advance(run_id)
    assert (look(hands, run_id).status, LOG) == ("running", ["order"])

    match outcome:
        case "ok":
            hands.record(sibling, Completed({"made": "pack"}))
        case "lost":
            hands.lose(sibling)
        case _:
            hands.record(sibling, Failed("tool_error", "no", happened=False))
    hands.work()

    run = look(hands, run_id)
    assert undone(run) == ([0] if outcome == "not happened" else [1, 0])
    assert (run.status, run.record.compensation) == ("cancelled", "done")


def test_a_doubt_holds_a_cancelled_run_until_a_person_ends_it_and_is_then_undone(agentflow: Harness) -> None:
    agent = side_by_side(order, a_deed("charge", effect="unsafe"))
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    hands.do(run_id, 0)
    hands.lose(hands.claim(run_id, 1), Evidence.LEASE_OVER)

    assert (stopped(hands, run_id, UNDO).status, LOG) == ("waiting_human", ["order"])
    agentflow.client.operations.resolve(run_id, "happened", answer={"made": "charge"}, by="ada")
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.compensation, undone(run)) == ("cancelled", "done", [1, 0])


def test_an_agent_that_is_cancelled_while_its_model_thinks_is_undone(agentflow: Harness) -> None:
    agent = Agent("clerk", model="openai:gpt-4o-mini", tools=[order, answer_twice])
    hands = Hands(agentflow, agent, model=scripted(call("order"), "done"))
    run_id = begun(hands, agent, steps=2, input="go")
    thinking = hands.claim(run_id, 2)
    stop(hands, run_id, UNDO)
    hands.advance(run_id)
    hands.lose(thinking)
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.compensation, LOG) == ("cancelled", "done", ["order", "undo order"])


@tool(effect="read")
def answer_twice(n: int) -> int:
    """Double a number."""
    return 2 * n


def test_a_workflow_is_not_asked_while_its_cancelled_run_is_undone(agentflow: Harness) -> None:
    asked: list[int] = []
    agent = deciding(order, pack)
    decide = agent.decide

    def counting(run: Any, history: Any) -> Any:
        asked.append(len(history))
        return decide(run, history)

    agent.decide = counting  # type: ignore[method-assign]
    hands = Hands(agentflow, agent)
    run_id = begun(hands, agent, steps=1)
    before = len(asked)

    assert stopped(hands, run_id, UNDO).status == "cancelled"
    assert len(asked) == before


def test_the_turn_of_a_conversation_is_passed_on_once_a_cancelled_run_is_undone(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing(order, pack))
    run_id = begun(hands, agent, steps=1, conversation="c1")
    next_id = hands.submit(agent, {}, conversation="c1")
    stop(hands, run_id, UNDO)
    hands.advance(run_id)

    assert (look(hands, run_id).status, hands.advance(next_id).answer) == ("compensating", "conversation_turn")
    hands.do(run_id, 2)

    assert look(hands, run_id).status == "cancelled"
    assert hands.advance(next_id).answer == "next"
