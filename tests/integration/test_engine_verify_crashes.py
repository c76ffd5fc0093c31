"""Verifications whose worker dies, at any point, and commits whose answer is lost: asked again, and called once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, InDoubt
from agentflow.testing import Harness
from agentflow.testing.crashes import SimulatedCrash
from tests.integration.hands import Interrupted
from tests.integration.lost_answers import LostAnswers
from tests.integration.outside import Endpoint, make_due
from tests.integration.tills import Till, begun, path_of, paying

pytest_plugins = ["tests.integration.outside_server"]

POINTS = ["before_enter", "before_claim", "after_claim", "before_call", "after_call", "before_record", "after_record"]
BOOKED = pytest.mark.parametrize("booked", [True, False], ids=["happened", "did not happen"])
AFTER = pytest.mark.parametrize("verify_after", [False, True], ids=["failure", "success"])


@pytest.fixture
def till(endpoint: Endpoint) -> Till:
    return Till(endpoint)


@pytest.fixture
def answers(agentflow: Harness) -> LostAnswers:
    return LostAnswers(agentflow.database)


def crash(at: str) -> Callable[..., None]:
    """Let the worker die at the first such point."""
    left = [at]

    def reached(point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        if point in left:
            left.clear()
            raise SimulatedCrash(point)

    return reached


def doubts(till: Till, *, booked: bool, verify_after: bool) -> None:
    """Have the first payment end in a doubt, or in a success that is to be looked for."""
    first = {
        (True, True): till.books,
        (True, False): till.books_and_cuts,
        (False, True): till.pretends,
        (False, False): till.cuts,
    }
    till.pays(first[booked, verify_after], till.books)


@BOOKED
@AFTER
@pytest.mark.parametrize("point", POINTS)
def test_wherever_its_worker_dies_a_verification_is_made_and_the_call_once(
    agentflow: Harness, till: Till, point: str, booked: bool, verify_after: bool
) -> None:
    doubts(till, booked=booked, verify_after=verify_after)
    hands, run_id = begun(agentflow, till, paying(verify_after=verify_after, settle_s=0))
    hands.do(run_id)
    make_due(hands)
    hands.drop_hints()
    hands.runtime.reached = crash(point)

    with pytest.raises(SimulatedCrash):
        hands.do(run_id, 1)
    hands.work()

    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.booked, till.paid) == ([f"{run_id}:0"], 1 if booked else 2)


@BOOKED
@AFTER
@pytest.mark.parametrize("lost_at", range(8))
def test_whichever_answer_is_lost_the_call_is_made_once_and_its_verification_written_once(
    agentflow: Harness, till: Till, answers: LostAnswers, booked: bool, verify_after: bool, lost_at: int
) -> None:
    doubts(till, booked=booked, verify_after=verify_after)
    hands, run_id = begun(agentflow, till, paying(verify_after=verify_after))
    answers.lose_next(after=lost_at)

    hands.work()

    again = [] if booked or not verify_after else [("verify", "ok")]
    assert answers.lost == 1
    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.booked, path_of(hands, run_id)) == ([f"{run_id}:0"], [("pay", "ok"), ("verify", "ok"), *again])
    assert len(hands.harness.client.outbox(run_id)) == (1 if verify_after or not booked else 0)


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])
@pytest.mark.parametrize(
    ("effect", "verify_after"),
    [("verified", False), ("verified", True), ("keyed", True), ("unsafe", False)],
    ids=["verified", "verified success", "keyed success", "unsafe"],
)
def test_a_doubt_whose_commit_was_not_answered_is_written_once_and_is_no_late_record(
    agentflow: Harness, till: Till, answers: LostAnswers, committed: bool, effect: str, verify_after: bool
) -> None:
    doubts(till, booked=True, verify_after=verify_after)
    hands, run_id = begun(agentflow, till, paying(effect, verify_after=verify_after))
    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next(committed=committed))

    ending = hands.do(run_id)

    assert isinstance(ending, Completed if verify_after else InDoubt)
    asking = [] if effect == "unsafe" else [("verify", "pending")]
    assert path_of(hands, run_id) == [("pay", "in_doubt"), *asking]
    assert [each["late_result"] for each in agentflow.client.steps(run_id)[0].tries] == [None]


def test_a_hint_that_comes_twice_is_one_verification(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till)
    hands.do(run_id)
    make_due(hands)

    hands.do(run_id, 1)
    hands.do(run_id, 1)

    assert (till.asked, agentflow.client.get(run_id).status) == (1, "done")
