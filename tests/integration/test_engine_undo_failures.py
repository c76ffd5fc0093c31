"""Undoing survives crashes, failures and lost hints as any step does; what cannot be undone pages a person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentflow import Budget, Context, Pipeline, tool
from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome
from agentflow.engine.advancing import advance_run
from agentflow.engine.claiming import claim_step
from agentflow.engine.refusing import NotClaimed
from agentflow.policy.recovery import Evidence
from agentflow.store import runs
from agentflow.testing import FinishedRun, Harness
from agentflow.testing.crashes import SimulatedCrash
from tests.integration.deeds import (
    GIVEN,
    LOG,
    AnyTool,
    a_deed,
    begun,
    failing,
    look,
    once,
    raising,
    transitions,
    undone,
)
from tests.integration.gated import swept
from tests.integration.hands import Hands
from tests.integration.lost_answers import LostAnswers
from tests.integration.outside import make_due, wait_s

SAFE = ["transactional", "keyed", "idempotent"]


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    LOG.clear()
    GIVEN.clear()


def undoing(agentflow: Harness, *deeds: AnyTool, **declared: Any) -> tuple[Hands, str]:
    """A run that has done these deeds and failed, and is about to undo the last of them."""
    hands = Hands(agentflow, agent := failing(*deeds, **declared))
    return hands, begun(hands, agent, steps=len(deeds) + 1)


def compensations(run: FinishedRun) -> list[tuple[str, int]]:
    return [(step.status, step.attempt) for step in run.steps if step.tool_name == "compensate"]


@pytest.mark.parametrize("effect", SAFE)
def test_an_undoing_that_fails_for_a_moment_is_tried_again_under_its_own_key(agentflow: Harness, effect: str) -> None:
    tried: list[str] = []
    busy = once(raising(kind="transient", happened=False))

    def note(ctx: Context) -> None:
        tried.append(ctx.idempotency_key)
        busy(ctx)

    hands, run_id = undoing(agentflow, a_deed("order", undo=effect, undoes=note))
    hands.do(run_id, 2)
    assert look(hands, run_id).status == "compensating"
    assert wait_s(hands, run_id, 2) > 0
    hands.work()

    assert tried == [f"{run_id}:2"] * 2
    assert compensations(look(hands, run_id)) == [("ok", 2)]


@pytest.mark.parametrize("effect", [*SAFE, "unsafe"])
def test_an_undoing_that_is_refused_ends_the_run_and_pages_a_person(agentflow: Harness, effect: str) -> None:
    deed = a_deed("order", undo=effect, undoes=raising(happened=False))
    hands, run_id = undoing(agentflow, deed)
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.compensation, run.error["kind"]) == ("failed", "failed", "tool_failed")
    assert run.error["compensation"] == "what 'order' did (step 0) could not be undone"
    [alert] = agentflow.client.alerts()
    assert (alert["cause"], alert["topic"]) == (f"compensation_failed:{run_id}", "compensation_failed:failing")
    assert alert["message"] == f"run {run_id} of 'failing' ended failed, and {run.error['compensation']}"


def test_the_older_effects_are_left_where_a_newer_one_could_not_be_undone(agentflow: Harness) -> None:
    deeds = [a_deed("order"), a_deed("pack", undoes=raising(happened=False)), a_deed("ship")]
    hands, run_id = undoing(agentflow, *deeds)
    hands.work()

    assert LOG == ["order", "pack", "ship", "undo ship"]
    assert compensations(look(hands, run_id)) == [("ok", 1), ("error", 1)]


def test_a_bug_in_an_undoing_is_told_of_and_ends_it(agentflow: Harness) -> None:
    def stumble(_: Context) -> None:
        raise KeyError("charge")

    hands, run_id = undoing(agentflow, a_deed("order", undoes=stumble))
    hands.work()

    assert look(hands, run_id).record.compensation == "failed"
    assert hands.causes() == {"bug", "compensation_failed"}


def test_what_a_transactional_undoing_writes_is_written_with_its_record_or_not_at_all(agentflow: Harness) -> None:
    write = "insert into agentflow.alerts (cause, message) values ('undone', 'by its undoing')"
    failures = iter([True, False])

    def undo(ctx: Context) -> None:
        ctx.connection.exec_driver_sql(write)
        if next(failures):
            raising(kind="transient")(ctx)

    hands, run_id = undoing(agentflow, a_deed("order", undo="transactional", undoes=undo))
    hands.do(run_id, 2)
    assert hands.causes() == set()
    hands.work()

    assert [row["count"] for row in hands.sql("select count from agentflow.alerts where cause = 'undone'")] == [1]
    assert compensations(look(hands, run_id)) == [("ok", 2)]


@pytest.mark.parametrize(("answer", "compensation"), [("happened", "done"), ("fail", "failed")])
def test_an_unsafe_undoing_in_doubt_is_left_to_a_person(agentflow: Harness, answer: str, compensation: str) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"), a_deed("pack", undo="unsafe", undoes=raising()))
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.waiting_reason, LOG) == ("waiting_human", "in_doubt", ["order", "pack"])
    assert transitions(run)[-2:] == ["compensating", "waiting_human"]
    assert hands.causes() == {"in_doubt"}
    agentflow.client.operations.resolve(run_id, answer, by="ada")
    hands.work()

    assert look(hands, run_id).record.compensation == compensation
    assert LOG[2:] == (["undo order"] if compensation == "done" else [])


@pytest.mark.parametrize("said", [{"kind": "transient"}, {"kind": "rate_limited"}], ids=["transient", "rate limited"])
def test_undoing_has_tries_of_its_own_and_fails_when_they_are_used_up(agentflow: Harness, said: dict[str, Any]) -> None:
    deed = a_deed("order", undoes=raising(**said))
    budget = Budget(compensation_attempts=3, attempts=2)
    hands, run_id = undoing(agentflow, deed, budget=budget)
    hands.work()

    run = look(hands, run_id)
    assert (compensations(run), run.record.attempts) == ([("error", 3)], 2)
    assert (run.status, run.record.compensation, run.error["kind"]) == ("failed", "failed", "tool_failed")


def test_each_undoing_has_its_own_tries(agentflow: Harness) -> None:
    busy = [once(raising(kind="transient")) for _ in range(2)]
    deeds = [a_deed("order", undoes=busy[0]), a_deed("pack", undoes=busy[1])]
    hands, run_id = undoing(agentflow, *deeds, budget=Budget(compensation_attempts=2))
    hands.work()

    assert compensations(look(hands, run_id)) == [("ok", 2), ("ok", 2)]


class DiesOnce:
    """A worker that dies the first time that it comes to a point of a step's way."""

    def __init__(self, point: str) -> None:
        self._points = {point}

    def __call__(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        if point in self._points:
            self._points.remove(point)
            raise SimulatedCrash(point)


OUTSIDE = ["before_enter", "before_claim", "after_claim", "before_call", "after_call", "before_record", "after_record"]
INSIDE = ["before_enter", "before_claim", "after_claim", "before_record", "after_call", "after_record"]
POINTS = [
    *(pytest.param(effect, point, id=f"{effect} {point}") for effect in ("keyed", "idempotent") for point in OUTSIDE),
    *(pytest.param("transactional", point, id=f"transactional {point}") for point in INSIDE),
]


@pytest.mark.parametrize(("effect", "point"), POINTS)
def test_a_worker_that_dies_anywhere_while_it_undoes_has_undone_once(
    agentflow: Harness, effect: str, point: str
) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"), a_deed("pack", undo=effect))
    hands.runtime.reached = DiesOnce(point)
    hands.work()

    run = look(hands, run_id)
    assert (run.status, run.record.compensation, undone(run)) == ("failed", "done", [1, 0])
    assert len({given["key"] for given in GIVEN}) == 2
    assert run.record.attempts == 3


@pytest.mark.parametrize("point", ["after_claim", "after_call"])
def test_a_worker_that_dies_in_an_unsafe_undoing_leaves_a_doubt_and_never_a_second_call(
    agentflow: Harness, point: str
) -> None:
    hands, run_id = undoing(agentflow, a_deed("order", undo="unsafe"))
    hands.runtime.reached = DiesOnce(point)
    hands.work()

    assert (look(hands, run_id).status, compensations(look(hands, run_id))) == ("waiting_human", [("in_doubt", 1)])
    assert LOG.count("undo order") == (1 if point == "after_call" else 0)


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("after", range(4))
def test_undoing_is_done_once_whichever_commit_was_not_answered(
    agentflow: Harness, after: int, committed: bool
) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"), a_deed("pack"))
    lost = LostAnswers(agentflow.database)
    lost.lose_next(after=after, committed=committed)
    hands.work()

    assert lost.lost == 1
    assert (look(hands, run_id).record.compensation, LOG) == ("done", ["order", "pack", "undo pack", "undo order"])


def test_a_hint_that_comes_twice_undoes_once(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"), a_deed("pack"))
    while hint := agentflow.hints.take():
        for _ in range(2):
            agentflow.obey(hands.runtime, hint)

    assert (look(hands, run_id).record.compensation, LOG) == ("done", ["order", "pack", "undo pack", "undo order"])


def test_workers_that_get_one_hint_together_undo_once(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: hands.do(run_id, 2), range(4)))

    assert (LOG, compensations(look(hands, run_id))) == (["order", "undo order"], [("ok", 1)])


def test_a_lost_hint_of_an_undoing_is_found_by_the_sweeper(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    hands.drop_hints()
    hands.sql("update agentflow.agent_steps set hinted_at = hinted_at - interval '1 minute'")

    [hint] = swept(hands)
    assert (hint.task_name, hint.queue, hint.step_index) == ("step.order.compensate", "tool.order", 2)
    agentflow.obey(hands.runtime, hint)

    assert look(hands, run_id).record.compensation == "done"


def test_a_lost_hint_of_the_next_undoing_is_found_by_the_sweeper(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    hands.runtime.reached = DiesOnce("after_record")
    with pytest.raises(SimulatedCrash):
        hands.do(run_id, 2)
    hands.drop_hints()
    hands.sql("update agentflow.agent_runs set advance_hinted_at = advance_hinted_at - interval '1 minute'")

    [hint] = swept(hands)
    assert hint.step_index is None
    agentflow.obey(hands.runtime, hint)

    assert look(hands, run_id).record.compensation == "done"


def test_an_undoing_that_kills_every_worker_fails(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    for _ in range(4):
        hands.lose(hands.claim(run_id, 2))
    hands.work()

    run = look(hands, run_id)
    assert (run.steps[2].error["kind"], run.record.compensation) == ("poison", "failed")
    assert hands.causes() == {"poison", "compensation_failed"}


def test_an_undoing_whose_attempt_hangs_is_answered_as_a_timeout(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    hands.lose(hands.claim(run_id, 2), Evidence.OVERRUN)
    assert hands.step_row(run_id, 2)["error"]["kind"] == "timeout"
    make_due(hands)
    hands.work()

    assert compensations(look(hands, run_id)) == [("ok", 2)]


@tool(effect="read")
def glance() -> str:
    return "nothing"


def test_a_worker_that_does_not_know_the_agent_leaves_the_undoing_to_another_and_says_so(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    stranger = agentflow.runtime(Pipeline("stranger", [glance]))

    answer = claim_step(stranger, run_id, 2, "token")

    assert isinstance(answer, NotClaimed)
    assert answer.refusal.answer == "unserved"
    assert hands.causes() == {"unserved"}
    make_due(hands)
    hands.work()
    assert look(hands, run_id).record.compensation == "done"


@pytest.mark.parametrize("reason", ["deadline", "budget_attempts", "cancel_compensate"])
def test_a_run_that_stops_is_not_ended_by_a_worker_that_does_not_know_how_to_undo_it(
    agentflow: Harness, reason: str
) -> None:
    hands = Hands(agentflow, agent := failing(a_deed("order")))
    run_id = begun(hands, agent, steps=1)
    agentflow.database.atomically(lambda tx: runs.request_stop(tx, run_id, reason))
    hands.drop_hints()

    answer = advance_run(agentflow.runtime(Pipeline("stranger", [glance])), run_id)

    assert (answer.answer, hands.causes()) == ("undecided", {"unknown_agent"})
    assert look(hands, run_id).status == "running"
    assert swept(hands) == []
    hands.sql("update agentflow.agent_runs set advance_due_at = clock_timestamp()")
    hands.work()
    assert (look(hands, run_id).record.compensation, LOG) == ("done", ["order", "undo order"])


def test_a_run_that_did_nothing_is_ended_by_a_worker_that_does_not_know_it(agentflow: Harness) -> None:
    hands = Hands(agentflow, agent := failing())
    run_id = hands.begin(agent, {})
    agentflow.database.atomically(lambda tx: runs.request_stop(tx, run_id, "deadline"))

    advance_run(agentflow.runtime(Pipeline("stranger", [glance])), run_id)

    assert (look(hands, run_id).status, hands.causes()) == ("failed", {"deadline"})


def test_an_undoing_is_left_by_a_worker_whose_agent_has_lost_the_tool_to_one_that_has_it(agentflow: Harness) -> None:
    hands, run_id = undoing(agentflow, a_deed("order"))
    newer = agentflow.runtime(failing(a_deed("pack")))

    answer = claim_step(newer, run_id, 2, "token")

    assert isinstance(answer, NotClaimed)
    assert (answer.refusal.answer, "compensate of order" in answer.refusal.detail) == ("unserved", True)
    make_due(hands)
    hands.work()
    assert look(hands, run_id).record.compensation == "done"
