"""How long a step that is continued may be worked on: its timer counts from before its claim was sent."""

from __future__ import annotations

from agentflow.engine.deadman import TIMER_MARGIN_S, boottime
from agentflow.engine.runtime import RECORD_MARGIN_S
from agentflow.testing import Harness
from tests.integration.lost_answers import LostAnswers
from tests.integration.test_engine_continuing import begun, going_on, plain


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
