"""How long a step that is continued may be worked on: its timer counts from before its claim was sent."""

from __future__ import annotations

import threading

from agentflow import Context, Pipeline, tool
from agentflow.engine.deadman import TIMER_MARGIN_S, boottime
from agentflow.engine.runtime import RECORD_MARGIN_S
from agentflow.testing import Harness
from tests.integration.hands import Interrupted
from tests.integration.lost_answers import LostAnswers
from tests.integration.test_engine_continuing import begun, going_on, look, plain


class Armed:
    """A timer that remembers what it was armed for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def arm(self, at: float) -> None:
        """Remember a time."""
        self.times.append(at)

    def disarm(self) -> None:
        """Forget nothing."""


def test_a_claim_that_is_not_answered_at_once_leaves_its_step_no_more_time(agentflow: Harness) -> None:
    timer = Armed()
    hands = going_on(agentflow, plain, timer=timer)
    run_id = begun(hands, plain)
    committed: list[tuple[float, int]] = []
    # The first commit is the claim's, the second records a step and claims the next.
    LostAnswers(agentflow.database).lose_next(
        after=1, meanwhile=lambda: committed.append((boottime(), len(timer.times)))
    )

    hands.do(run_id)

    [(committed_at, before)] = committed
    lease_s = hands.step_row(run_id, 1)["timeout_s"] + RECORD_MARGIN_S
    assert timer.times[before] < committed_at + lease_s - TIMER_MARGIN_S


def test_a_step_after_a_transactional_one_that_took_its_time_has_all_of_its_own(agentflow: Harness) -> None:
    timer = Armed()
    hands = going_on(agentflow, unhurried, timer=timer)
    run_id = begun(hands, unhurried)
    began_at: list[float] = []
    hands.runtime.reached = Interrupted("after_call", lambda _: began_at.append(boottime()))

    hands.do(run_id)

    # Armed before the first call, for it, and after it; then for the second.
    lease_s = hands.step_row(run_id, 1)["timeout_s"] + RECORD_MARGIN_S
    assert timer.times[3] >= began_at[0] + lease_s - TIMER_MARGIN_S


def pause() -> None:
    """Let the time pass that a slow tool takes."""
    threading.Event().wait(PAUSE_S)


PAUSE_S = 0.5


@tool(effect="transactional", name="enter", timeout_s=30)
def unhurried_entry(ctx: Context, value: str) -> str:
    pause()
    return value


unhurried = Pipeline("unhurried", [unhurried_entry, look])
