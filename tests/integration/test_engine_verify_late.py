"""Records that come while their step is verified, and after: the first word counts, the later one is evidence."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import NotHappened, Pipeline, ToolError
from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, Fenced, InDoubt, Retrying
from agentflow.engine.late import keep_late_outcome
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness
from tests.integration.faulty import Answer, Fault
from tests.integration.hands import Hands, Interrupted
from tests.integration.outside import Endpoint, make_due, standing, step_error, tries
from tests.integration.tills import CANNOT_TELL, NOT_THERE, Till, a_payment, begun, path_of, paying

pytest_plugins = ["tests.integration.outside_server"]

REFUSED = Retrying(Failed("transient", "refused", happened=False), 0.0, "retry_transient")


@pytest.fixture
def till(endpoint: Endpoint) -> Till:
    return Till(endpoint)


def lost(harness: Harness, till: Till, *, settle_s: float = 0) -> tuple[Hands, Claim]:
    """A payment whose lease is over, and which is about to be verified."""
    hands, run_id = begun(harness, till, paying(settle_s=settle_s))
    claim = hands.claim(run_id)
    hands.lose(claim, Evidence.LEASE_OVER)
    make_due(hands)
    return hands, claim


def test_a_record_before_the_verdict_wins_and_nobody_is_asked(agentflow: Harness, till: Till) -> None:
    hands, run_id = begun(agentflow, till)
    hands.runtime.reached = Interrupted("after_call", lambda claim: hands.lose(claim, Evidence.LEASE_OVER))

    ending = hands.do(run_id)

    assert isinstance(ending, Completed)
    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "skipped")]
    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}
    assert (till.paid, till.asked, hands.causes()) == (1, 0, set())


def test_a_record_before_the_verdict_that_nothing_happened_is_believed(agentflow: Harness, till: Till) -> None:
    hands, claim = lost(agentflow, till)

    hands.record(claim, Failed("tool_error", "no money", happened=False))
    hands.work()

    assert path_of(hands, claim.run.run_id) == [("pay", "error"), ("verify", "skipped")]
    assert (agentflow.client.get(claim.run.run_id).status, till.asked) == ("failed", 0)


def test_a_doubtful_record_leaves_the_word_to_the_verification(agentflow: Harness, till: Till) -> None:
    hands, claim = lost(agentflow, till)

    assert hands.record(claim, InDoubt("transient", "cut")) is None
    hands.work()

    assert path_of(hands, claim.run.run_id) == [("pay", "ok"), ("verify", "ok")]
    assert (till.paid, till.asked) == (1, 1)


VERDICTS: dict[str, Fault] = {
    "happened": Answer(body={"key": "another", "number": 7}),
    "not happened": Answer(NOT_THERE),
    "unknown": Answer(CANNOT_TELL),
    "failed": Answer(400),
}


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=list(VERDICTS))
def test_a_verdict_that_comes_after_the_record_changes_nothing(agentflow: Harness, till: Till, verdict: Fault) -> None:
    till.says(verdict)
    hands, claim = lost(agentflow, till)
    hands.runtime.reached = Interrupted("after_call", lambda _: hands.record(claim, Completed("mine")))

    hands.do(claim.run.run_id, 1)

    run = agentflow.client.get(claim.run.run_id)
    assert (run.status, run.result, till.paid) == ("done", "mine", 0)
    assert tries(hands, run.run_id) == ["ok"]
    assert hands.causes() == set()


@pytest.mark.parametrize("answer", [Answer(NOT_THERE), Answer(503)], ids=["nothing yet", "not now"])
def test_a_verification_that_would_ask_again_is_dropped_once_the_record_is_there(
    agentflow: Harness, till: Till, answer: Fault
) -> None:
    till.says(answer)
    hands, claim = lost(agentflow, till, settle_s=60)
    hands.runtime.reached = Interrupted("after_call", lambda _: hands.record(claim, Completed("mine")))

    hands.do(claim.run.run_id, 1)

    assert path_of(hands, claim.run.run_id) == [("pay", "ok"), ("verify", "skipped")]
    assert (agentflow.client.get(claim.run.run_id).status, till.asked) == ("done", 1)


def test_a_verdict_on_one_attempt_says_nothing_of_the_next(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, claim = lost(agentflow, till)
    run_id = claim.run.run_id

    def overtake(_: Claim) -> None:
        # It has asked, and seen nothing; now its attempt says the same, and the next one's call does happen.
        hands.record(claim, REFUSED)
        hands.do(run_id)

    hands.runtime.reached = Interrupted("after_call", overtake)

    assert hands.do(run_id, 1) == Completed({"verdict": "not_happened"})
    assert (hands.step_row(run_id)["status"], hands.step_row(run_id)["attempt"]) == ("in_doubt", 2)
    hands.work()

    assert path_of(hands, run_id) == [("pay", "ok"), ("verify", "ok"), ("verify", "ok")]
    assert till.booked == [f"{run_id}:0"]


def test_a_record_after_the_verdict_is_refused_kept_and_told(agentflow: Harness, till: Till) -> None:
    till.says(Answer(NOT_THERE))
    hands, run_id = begun(agentflow, till, paying(settle_s=0))

    def give_up(claim: Claim) -> None:
        hands.lose(claim, Evidence.LEASE_OVER)
        hands.do(run_id, 1)

    hands.runtime.reached = Interrupted("after_call", give_up)

    ending = hands.do(run_id)

    paid = {"key": f"{run_id}:0", "number": 1}
    assert isinstance(ending, Fenced)
    assert hands.step_row(run_id)["status"] == "pending"
    assert [each["late_result"] for each in agentflow.client.steps(run_id)[0].tries] == [{"output": paid}]
    assert hands.causes() == {"late_result"}


def test_a_record_after_the_verdict_that_it_happened_changes_nothing(agentflow: Harness, till: Till) -> None:
    till.pays(till.books_and_cuts)
    hands, run_id = begun(agentflow, till, paying(settle_s=0))
    claim = hands.claim(run_id)
    till.booked.append(f"{run_id}:0")
    hands.lose(claim, Evidence.LEASE_OVER)
    hands.work()

    assert hands.record(claim, Completed("mine")) is None
    assert agentflow.client.get(run_id).result == {"key": f"{run_id}:0", "number": 1}


def test_a_record_after_a_person_was_asked_ends_the_doubt(agentflow: Harness, till: Till) -> None:
    till.says(Answer(CANNOT_TELL))
    hands, claim = lost(agentflow, till)
    hands.work()
    assert standing(hands, claim.run.run_id) == ("waiting_human", "in_doubt")

    hands.record(claim, Completed("mine"))
    hands.work()

    assert agentflow.client.get(claim.run.run_id).result == "mine"


UNDONE: list[Any] = []


def refusing() -> Pipeline:
    """A payment that is refused at its second attempt; it can be undone, without its result too."""

    def refuse() -> None:
        raise ToolError("no money", happened=False)

    def not_happened() -> NotHappened:
        return NotHappened()

    def undo(result: str | None) -> None:
        UNDONE.append(result)

    payment = a_payment(settle_s=0, pays=refuse, verifies=not_happened)
    payment.compensate(effect="idempotent")(undo)
    return Pipeline("refusing", [payment])


@pytest.mark.parametrize(
    ("late", "undone"),
    [
        (Completed("late"), ["late"]),
        (Failed("tool_error", "half way", happened=True), [None]),
        (Failed("tool_error", "no", happened=False), []),
        (Failed("bug", "?", happened=None), []),
    ],
    ids=["completed", "failed, and happened", "did not happen", "nobody knows"],
)
def test_what_happened_after_it_was_given_up_is_undone_with_the_rest(
    agentflow: Harness, late: AttemptOutcome, undone: list[Any]
) -> None:
    UNDONE.clear()
    agent = refusing()
    hands = Hands(agentflow, agent)
    run_id = hands.begin(agent)
    claim = hands.claim(run_id)
    hands.lose(claim, Evidence.LEASE_OVER)
    hands.do(run_id, 1)

    assert hands.record(claim, late) is None
    keep_late_outcome(hands.runtime, claim, late)
    hands.do(run_id)
    hands.work()

    assert (UNDONE, step_error(hands, run_id)["kind"]) == (undone, "tool_error")
    assert agentflow.client.get(run_id).compensation == ("done" if undone else None)
