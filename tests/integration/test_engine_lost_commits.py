from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentflow import Agent, Context, Pipeline, tool
from agentflow.domain.claim import Claim
from agentflow.domain.outcome import Completed
from agentflow.engine.claiming import Claimed
from agentflow.engine.refusing import NotClaimed
from agentflow.testing import Harness, call, scripted
from tests.integration.hands import Hands, Interrupted
from tests.integration.lost_answers import LostAnswers

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@tool(effect="keyed", key="seat:{seat}")
def reserve(ctx: Context, seat: str) -> str:
    CALLS.append(ctx.idempotency_key)
    ctx.outbox.email(to="a@example.com", subject="Seat", body=seat)
    ctx.scratchpad["seats"] = ctx.scratchpad.get("seats", 0) + 1
    return seat


@tool(effect="transactional")
def enter(ctx: Context, seat: str) -> str:
    CALLS.append("enter")
    ctx.connection.exec_driver_sql("insert into ledger (seat) values (%s)", (seat,))
    return seat


reserving = Pipeline("reserving", [reserve])
entering = Pipeline("entering", [enter])
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[reserve])
SEAT = {"seat": "1A"}
ENDINGS = pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, reserving, entering, clerk, model=scripted(call("reserve", seat="1A"), "done"))


@pytest.fixture
def answers(agentflow: Harness) -> LostAnswers:
    return LostAnswers(agentflow.database)


@pytest.fixture
def ledger(hands: Hands) -> Iterator[str]:
    hands.sql("create table ledger (seat text)")
    yield "select count(*) from ledger"
    hands.sql("drop table ledger")


@ENDINGS
def test_a_claim_whose_commit_was_not_answered_is_read_again_by_its_token(
    hands: Hands, answers: LostAnswers, committed: bool
) -> None:
    run_id = hands.begin(reserving, SEAT)
    answers.lose_next(committed=committed)

    claimed = hands.try_claim(run_id)

    assert isinstance(claimed, Claimed)
    row = hands.step_row(run_id)
    assert (row["attempt"], str(row["claim_token"]), answers.lost) == (1, claimed.claim.token, 1)
    assert (row["claimed_at"], row["lease_until"]) == (claimed.claim.claimed_at, claimed.claim.lease_until)
    assert hands.run_row(run_id)["spent_attempts"] == 1
    assert len(hands.harness.client.steps(run_id)[0].tries) == 1


def test_a_claim_that_was_lost_and_taken_by_another_is_not_ours(hands: Hands, answers: LostAnswers) -> None:
    run_id = hands.begin(reserving, SEAT)
    theirs: list[Claim] = []

    def another_takes_it() -> None:
        hands.sql("update agentflow.agent_steps set status = 'pending', claim_token = null")
        theirs.append(hands.claim(run_id))

    answers.lose_next(meanwhile=another_takes_it)

    answer = hands.try_claim(run_id)

    assert isinstance(answer, NotClaimed)
    assert (answer.refusal.answer, str(hands.step_row(run_id)["claim_token"])) == ("duplicate", theirs[0].token)


@ENDINGS
def test_a_record_whose_commit_was_not_answered_is_made_once_and_the_tool_is_not_called_again(
    hands: Hands, answers: LostAnswers, committed: bool
) -> None:
    run_id = hands.begin(reserving, SEAT)
    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next(committed=committed))

    ending = hands.do(run_id)
    hands.work()

    assert isinstance(ending, Completed)
    assert hands.causes() == set()

    run = hands.harness.client.get(run_id)
    assert (run.status, run.result, run.scratchpad, run.attempts) == ("done", "1A", {"seats": 1}, 1)
    assert (CALLS, answers.lost) == (["seat:1A"], 1)
    assert len(hands.harness.client.outbox(run_id)) == 1


def test_a_record_that_is_lost_several_times_over_is_made_once(hands: Hands, answers: LostAnswers) -> None:
    run_id = hands.begin(reserving, SEAT)
    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next(3, committed=False))

    hands.do(run_id)
    hands.work()

    assert (hands.harness.client.get(run_id).status, CALLS, answers.lost) == ("done", ["seat:1A"], 3)


def test_a_transactional_tool_whose_commit_was_not_answered_is_not_run_twice(
    hands: Hands, answers: LostAnswers, ledger: str
) -> None:
    run_id = hands.begin(entering, SEAT)
    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next())

    hands.do(run_id)
    hands.work()

    assert (CALLS, hands.value(ledger)) == (["enter"], 1)
    assert hands.harness.client.get(run_id).result == "1A"


def test_a_transactional_tool_whose_commit_never_happened_runs_again_and_writes_once(
    hands: Hands, answers: LostAnswers, ledger: str
) -> None:
    run_id = hands.begin(entering, SEAT)
    hands.runtime.reached = Interrupted("before_record", lambda _: answers.lose_next(committed=False))

    hands.do(run_id)
    hands.work()

    assert (CALLS, hands.value(ledger)) == (["enter", "enter"], 1)
    assert hands.harness.client.get(run_id).attempts == 1


@ENDINGS
def test_a_decision_whose_commit_was_not_answered_is_written_once(
    hands: Hands, answers: LostAnswers, committed: bool
) -> None:
    run_id = hands.submit(clerk, "a seat")
    # The decision reads in a transaction of its own before it writes in one.
    answers.lose_next(after=1, committed=committed)

    hands.advance(run_id)

    assert answers.lost == 1
    assert hands.value("select count(*) from agentflow.agent_steps") == 1


@ENDINGS
def test_a_submission_whose_commit_was_not_answered_is_one_run(
    hands: Hands, agentflow: Harness, committed: bool
) -> None:
    answers = LostAnswers(agentflow.client.database)
    answers.lose_next(committed=committed)

    handle = agentflow.client.submit("clerk", "a seat")
    hands.work()

    assert (handle.created, answers.lost) == (True, 1)
    assert [run.run_id for run in agentflow.client.list()] == [handle.run_id]
    assert handle.get().status == "done"


@pytest.mark.parametrize("lost_at", range(10))
def test_whichever_answer_is_lost_the_run_ends_having_done_everything_once(
    hands: Hands, answers: LostAnswers, lost_at: int
) -> None:
    run_id = hands.submit(clerk, "a seat")
    answers.lose_next(after=lost_at)

    hands.work()

    run = hands.harness.client.get(run_id)
    assert answers.lost == 1
    assert (run.status, run.result, run.attempts, run.scratchpad) == ("done", "done", 3, {"seats": 1})
    assert CALLS == ["seat:1A"]
    assert [step.attempt for step in hands.harness.client.steps(run_id)] == [1, 1, 1]
    assert hands.value("select sum(prompt_tokens + completion_tokens) from agentflow.model_calls") == run.tokens
