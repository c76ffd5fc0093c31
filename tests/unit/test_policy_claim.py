from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow.domain.claim import ClaimAnswer, KeyRecord, LockedStep, Refused
from agentflow.domain.outcome import Completed, Failed, InDoubt
from agentflow.domain.run import Ending, Run, RunStatus, Spent
from agentflow.domain.step import MODEL, OWN_STEPS, Effect, StepStatus
from agentflow.policy.claim import refuse_claim, refuse_key
from agentflow.policy.keys import KeyEnd, decide_key_end
from tests.unit.given import a_locked_step, a_run

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOON, BEFORE = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


def answer(run: Run, step: LockedStep, *, has_turn: bool = True) -> Refused | None:
    return refuse_claim(run, step, has_turn=has_turn, now=NOW)


@pytest.mark.parametrize("run", [a_run(), a_run(status=RunStatus.PENDING), a_run(deadline_at=SOON)])
def test_a_due_step_of_a_live_run_may_be_claimed(run: Run) -> None:
    assert answer(run, a_locked_step(next_attempt_at=BEFORE)) is None


@pytest.mark.parametrize("status", [status for status in StepStatus if status is not StepStatus.PENDING])
def test_a_step_that_is_not_pending_is_a_duplicate(status: StepStatus) -> None:
    assert answer(a_run(), a_locked_step(status=status)) == Refused(ClaimAnswer.DUPLICATE, status)


@pytest.mark.parametrize(
    ("facts", "detail"),
    [
        ({"status": RunStatus.DONE}, "done"),
        ({"status": RunStatus.FAILED}, "failed"),
        ({"status": RunStatus.CANCELLED}, "cancelled"),
        ({"stop_requested": "cancel"}, "cancel"),
        ({"pause_requested": True}, "paused"),
        ({"deadline_at": NOW}, "deadline"),
        ({"deadline_at": BEFORE}, "deadline"),
    ],
    ids=str,
)
def test_a_run_that_stops_hands_out_no_step(facts: dict[str, Any], detail: str) -> None:
    assert answer(a_run(**facts), a_locked_step()) == Refused(ClaimAnswer.RUN_STOPPED, detail)


def test_a_run_without_its_conversations_turn_hands_out_no_step() -> None:
    refused = Refused(ClaimAnswer.RUN_STOPPED, "conversation_turn")

    assert answer(a_run(), a_locked_step(), has_turn=False) == refused


GOING_ON: dict[str, dict[str, Any]] = {
    "stopping": {"stop_requested": "cancel"},
    "past its deadline": {"deadline_at": BEFORE},
    "ending": {"ending": Ending(RunStatus.FAILED, "tool_failed")},
    "without attempts": {"budget": {"attempts": 3}, "spent": Spent(attempts=3)},
}


@pytest.mark.parametrize("own", sorted(OWN_STEPS))
@pytest.mark.parametrize("facts", GOING_ON.values(), ids=list(GOING_ON))
def test_what_clears_up_after_a_run_is_handed_out_where_its_plan_is_not(facts: dict[str, Any], own: str) -> None:
    run = a_run(**facts)

    assert answer(run, a_locked_step(tool_name=own), has_turn=False) is None
    assert answer(run, a_locked_step()) is not None


@pytest.mark.parametrize("own", sorted(OWN_STEPS))
@pytest.mark.parametrize(
    ("facts", "step", "refused"),
    [
        ({"pause_requested": True}, {}, Refused(ClaimAnswer.RUN_STOPPED, "paused")),
        ({"status": RunStatus.FAILED}, {}, Refused(ClaimAnswer.RUN_STOPPED, "failed")),
        ({}, {"next_attempt_at": SOON}, Refused(ClaimAnswer.NOT_DUE)),
        ({}, {"status": StepStatus.RUNNING}, Refused(ClaimAnswer.DUPLICATE, "running")),
    ],
    ids=["paused", "final", "not due", "running"],
)
def test_what_clears_up_waits_for_its_time_and_for_a_run_that_is_paused(
    facts: dict[str, Any], step: dict[str, Any], refused: Refused, own: str
) -> None:
    assert answer(a_run(**facts), a_locked_step(tool_name=own, **step)) == refused


def test_a_step_that_is_verified_is_not_handed_out() -> None:
    doubt = a_locked_step(status=StepStatus.IN_DOUBT, waiting_reason="verifying")

    assert answer(a_run(), doubt) == Refused(ClaimAnswer.DUPLICATE, StepStatus.IN_DOUBT)


def test_a_parked_step_is_not_due() -> None:
    assert answer(a_run(), a_locked_step(next_attempt_at=SOON)) == Refused(ClaimAnswer.NOT_DUE)


def test_attempts_that_are_used_up_leave_no_room_for_one_more() -> None:
    reached, below = (a_run(budget={"attempts": most}, spent=Spent(attempts=3)) for most in (3, 4))

    assert answer(reached, a_locked_step(tool_name=MODEL)) == Refused(ClaimAnswer.BUDGET, "attempts")
    assert answer(below, a_locked_step(tool_name=MODEL)) is None


@pytest.mark.parametrize(("budget", "refused"), [("attempts", True), ("tokens", False), ("cost_usd", False)])
def test_a_tool_uses_attempts_and_neither_tokens_nor_money(budget: str, refused: bool) -> None:
    run = a_run(budget={budget: 0})

    assert (answer(run, a_locked_step()) == Refused(ClaimAnswer.BUDGET, budget)) is refused


def record(status: str, *, run_id: str = "run-2", args_hash: bytes = b"same") -> KeyRecord:
    return KeyRecord(run_id, 1, args_hash, status, None)


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (None, None),
        (record("in_flight", run_id="run-1"), None),
        (record("in_doubt", run_id="run-1"), None),
        (record("in_flight"), ClaimAnswer.KEY_IN_FLIGHT),
        (record("in_doubt"), ClaimAnswer.KEY_IN_FLIGHT),
        (record("done"), ClaimAnswer.KEY_DONE),
        (record("done", args_hash=b"other"), ClaimAnswer.KEY_CONFLICT),
        (record("in_flight", args_hash=b"other"), ClaimAnswer.KEY_CONFLICT),
    ],
    ids=["free", "mine", "mine in doubt", "in flight", "in doubt", "done", "done otherwise", "in flight otherwise"],
)
def test_a_key_is_answered_by_who_holds_it_and_what_it_came_to(
    holder: KeyRecord | None, expected: ClaimAnswer | None
) -> None:
    refused = refuse_key(a_locked_step(), holder)

    assert (refused and refused.answer) == expected


MAYBE_ENDS = {Effect.UNSAFE: KeyEnd.HELD, Effect.VERIFIED: KeyEnd.HELD}


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("happened", [True, None], ids=["happened", "maybe"])
def test_a_failure_that_may_have_happened_holds_the_key_where_a_second_call_could_do_it_twice(
    effect: Effect, happened: bool | None
) -> None:
    assert decide_key_end(effect, Failed("bug", "", happened)) is MAYBE_ENDS.get(effect, KeyEnd.FREED)


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (Completed(1), KeyEnd.DONE),
        (Failed("tool_error", "", happened=False), KeyEnd.FREED),
        (InDoubt("lost", ""), KeyEnd.HELD),
    ],
    ids=["completed", "did not happen", "in doubt"],
)
def test_success_spends_a_key_and_certain_failure_frees_it_and_doubt_holds_it(
    effect: Effect, outcome: Completed | Failed | InDoubt, end: KeyEnd
) -> None:
    assert decide_key_end(effect, outcome) is end
