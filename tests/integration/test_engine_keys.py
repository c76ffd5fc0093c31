from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Pipeline, ToolError, tool
from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed
from agentflow.engine.recovery import take_back
from agentflow.policy.recovery import Evidence
from agentflow.store import keys, steps
from agentflow.store.database import Transaction
from agentflow.store.keys import Taken
from agentflow.testing import Harness, call, scripted
from tests.integration.hands import Hands

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@tool(effect="keyed", key="seat:{seat}")
def reserve(ctx: Context, seat: str, row: int = 1) -> dict[str, Any]:
    CALLS.append(ctx.run.run_id)
    return {"key": ctx.idempotency_key, "row": row, "run": len(CALLS)}


@tool(effect="keyed", key="seat:{seat}")
def refuse(ctx: Context, seat: str) -> str:
    raise ToolError(f"{ctx.idempotency_key} is broken", happened=False)


@tool(effect="unsafe", key="parcel:{n}")
def ship(n: int) -> str:
    CALLS.append(str(n))
    return f"sent {n}"


reserving = Pipeline("reserving", [reserve])
refusing = Pipeline("refusing", [refuse])
shipping = Pipeline("shipping", [ship])
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[reserve])
SEAT = {"seat": "1A"}


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, reserving, refusing, shipping, clerk)


def records(hands: Hands) -> list[tuple[str, str, str]]:
    rows = hands.sql("select tool, key, status from agentflow.idempotency_records order by tool, key")
    return [(row["tool"], row["key"], row["status"]) for row in rows]


def hinted(hands: Hands) -> list[tuple[str | None, int | None]]:
    found = []
    while hint := hands.harness.hints.take():
        found.append((hint.run_id, hint.step_index))
    return found


def test_a_key_that_is_done_gives_its_recorded_answer_without_a_call(hands: Hands) -> None:
    first, second = hands.begin(reserving, SEAT), hands.begin(reserving, SEAT)
    hands.do(first)

    assert hands.refusal(second) == ("key_done", first)
    hands.work()

    assert hands.harness.client.get(second).result == {"key": "seat:1A", "row": 1, "run": 1}
    assert (CALLS, hands.step_row(second)["attempt"]) == ([first], 0)
    assert records(hands) == [("reserve", "seat:1A", "done")]


def test_a_key_in_flight_parks_the_step_which_its_holder_wakes(hands: Hands) -> None:
    first, second = hands.begin(reserving, SEAT), hands.begin(reserving, SEAT)
    claim = hands.claim(first)

    assert hands.refusal(second) == ("key_in_flight", first)
    row, run = hands.step_row(second), hands.run_row(second)
    assert (row["status"], row["attempt"], row["waiting_reason"]) == ("pending", 0, "key_in_flight")
    assert row["next_attempt_at"] is not None
    assert (run["status"], run["waiting_reason"]) == ("waiting_tool", "key_in_flight")

    recorded = hands.record(claim, Completed("mine"))

    assert recorded is not None
    assert [(hint.run_id, hint.step_index) for hint in recorded.hints] == [(second, 0)]
    hands.work()
    assert hands.harness.client.get(second).result == "mine"


def test_a_run_that_waits_for_a_key_before_its_first_call_has_a_deadline(hands: Hands) -> None:
    first, second = hands.begin(reserving, SEAT), hands.begin(reserving, SEAT)
    hands.claim(first)

    hands.refusal(second)

    run = hands.run_row(second)
    assert (run["started_at"], run["deadline_at"] is None) == (None, False)


def test_a_step_that_was_woken_stands_as_running_again(hands: Hands) -> None:
    first, second = hands.begin(reserving, SEAT), hands.begin(reserving, SEAT)
    claim = hands.claim(first)
    hands.refusal(second)

    hands.record(claim, Failed("tool_error", "no", happened=False))
    hands.claim(second)

    run = hands.run_row(second)
    assert (run["status"], run["waiting_reason"]) == ("running", None)


def test_other_arguments_under_one_key_are_an_error_that_names_the_run(hands: Hands) -> None:
    first, second = hands.begin(reserving, SEAT), hands.begin(reserving, {**SEAT, "row": 2})
    hands.do(first)

    assert hands.refusal(second) == ("key_conflict", first)
    hands.work()

    assert hands.step_row(second)["error"] == {
        "kind": "bad_input",
        "message": f"the key 'seat:1A' was used by run {first} with other arguments",
        "happened": False,
    }
    assert (hands.harness.client.get(second).status, CALLS) == ("failed", [first])


def test_a_model_is_told_of_a_conflicting_key_and_goes_on(hands: Hands) -> None:
    hands.do(hands.begin(reserving, SEAT))

    run = hands.harness.run(clerk, "a seat", model=scripted(call("reserve", seat="1A", row=2), "sorry"))

    assert (run.status, run.result, run.steps[1].status) == ("done", "sorry", "error")


def test_a_key_belongs_to_its_tool(hands: Hands) -> None:
    hands.do(hands.begin(reserving, SEAT))

    other = hands.begin(refusing, SEAT)
    hands.claim(other)

    assert records(hands) == [("refuse", "seat:1A", "in_flight"), ("reserve", "seat:1A", "done")]


def test_a_later_attempt_takes_over_its_own_record(hands: Hands) -> None:
    run_id = hands.begin(reserving, SEAT)
    hands.lose(hands.claim(run_id))

    hands.work()

    assert hands.harness.client.get(run_id).result["key"] == "seat:1A"
    assert (hands.step_row(run_id)["attempt"], records(hands)) == (2, [("reserve", "seat:1A", "done")])


def test_a_failure_that_certainly_did_not_happen_frees_the_key(hands: Hands) -> None:
    first, second = hands.begin(refusing, SEAT), hands.begin(refusing, SEAT)
    claim = hands.claim(first)
    hands.refusal(second)

    recorded = hands.record(claim, Failed("tool_error", "broken", happened=False))

    assert recorded is not None
    assert [hint.run_id for hint in recorded.hints] == [second]
    assert records(hands) == []
    assert hands.claim(second).attempt == 1


def test_a_doubt_holds_the_key_until_it_is_resolved(hands: Hands) -> None:
    first, second = hands.begin(shipping, {"n": 1}), hands.begin(shipping, {"n": 1})
    claim = hands.claim(first)
    hands.lose(claim, Evidence.LEASE_OVER)

    assert records(hands) == [("ship", "parcel:1", "in_doubt")]
    assert hands.refusal(second) == ("key_in_flight", first)

    recorded = hands.record(claim, Completed("sent 1"))
    assert recorded is not None
    assert (second, 0) in [(hint.run_id, hint.step_index) for hint in recorded.hints]
    hands.work()
    assert (hands.harness.client.get(second).result, CALLS) == ("sent 1", [])


def test_a_doubt_holds_the_key_although_its_run_was_asked_to_stop(hands: Hands) -> None:
    first, second = hands.begin(shipping, {"n": 1}), hands.begin(shipping, {"n": 1})
    hands.lose(hands.claim(first), Evidence.LEASE_OVER)
    hands.sql("update agentflow.agent_runs set stop_requested = 'cancel' where run_id = %(id)s", id=first)
    hands.advance(first)

    assert hands.refusal(second) == ("key_in_flight", first)
    assert hands.harness.client.get(first).status == "waiting_human"


MAYBES = [
    Failed("bug", "cut off"),
    Failed("tool_error", "half way", happened=True),
]


@pytest.mark.parametrize("outcome", MAYBES, ids=["maybe", "happened"])
def test_a_maybe_of_a_keyed_tool_frees_the_key_since_the_other_side_knows_it(
    hands: Hands, outcome: AttemptOutcome
) -> None:
    hands.record(hands.claim(hands.begin(reserving, SEAT)), outcome)

    assert records(hands) == []


def test_an_unsafe_effect_that_happened_and_failed_keeps_the_key(hands: Hands) -> None:
    first, second = hands.begin(shipping, {"n": 1}), hands.begin(shipping, {"n": 1})

    hands.record(hands.claim(first), Failed("tool_error", "half way", happened=True))

    assert hands.refusal(second) == ("key_in_flight", first)


def test_a_step_that_is_skipped_gives_back_the_key_of_its_lost_attempt(hands: Hands) -> None:
    first, second = hands.begin(reserving, SEAT), hands.begin(reserving, SEAT)
    hands.lose(hands.claim(first))
    hands.refusal(second)
    hinted(hands)
    hands.sql("update agentflow.agent_runs set stop_requested = 'deadline' where run_id = %(id)s", id=first)

    stopped = hands.advance(first)

    assert (hands.step_row(first)["status"], records(hands)) == ("skipped", [])
    assert [(hint.run_id, hint.step_index) for hint in stopped.hints] == [(second, 0)]


def test_a_poisoned_step_gives_back_its_key(hands: Hands) -> None:
    run_id = hands.begin(reserving, SEAT)
    claim = hands.claim(run_id)
    hands.sql("update agentflow.agent_steps set quarantined = true, deaths = 2")

    hands.lose(claim)

    assert (hands.step_row(run_id)["error"]["kind"], records(hands)) == ("poison", [])


class GivesBackInBetween:
    """A transaction in which the key's holder gives it back between the two statements that take it."""

    def __init__(self, tx: Transaction, give_back: Any) -> None:
        self._tx = tx
        self._give_back = give_back

    def run(self, statement: str, /, **parameters: Any) -> int:
        taken = self._tx.run(statement, **parameters)
        if statement == "insert_key" and self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            give_back()
        return taken

    def row(self, statement: str, /, **parameters: Any) -> Any:
        return self._tx.row(statement, **parameters)


def test_a_key_that_is_given_back_between_two_statements_is_taken_with_a_record(hands: Hands) -> None:
    first, second = hands.begin(refusing, SEAT), hands.begin(refusing, SEAT)
    holder: Claim = hands.claim(first)

    def give_back() -> None:
        hands.record(holder, Failed("tool_error", "broken", happened=False))

    def take(tx: Transaction) -> object:
        step = steps.lock(tx, second, 0)
        assert step is not None
        return keys.take(GivesBackInBetween(tx, give_back), step)  # type: ignore[arg-type]

    assert hands.harness.database.atomically(take) == Taken(None, generation=1)
    owners = hands.sql("select run_id from agentflow.idempotency_records")
    assert [str(row["run_id"]) for row in owners] == [second]


def test_taking_back_a_step_twice_is_taking_it_back_once(hands: Hands) -> None:
    run_id = hands.begin(reserving, SEAT)
    claim = hands.claim(run_id)
    hands.lose(claim)
    again = hands.claim(run_id)

    database = hands.harness.database
    stale = database.atomically(lambda tx: take_back(tx, run_id, 0, claim.attempt, Evidence.CHILD_DEAD))

    assert stale is None
    assert hands.record(again) is not None
