"""Business keys while their step is verified: others wait, then get the answer, or the key."""

from __future__ import annotations

import pytest

from agentflow import Pipeline
from agentflow.testing import Harness
from tests.integration.faulty import Answer
from tests.integration.hands import Hands
from tests.integration.outside import Endpoint, standing
from tests.integration.tills import CANNOT_TELL, Till, a_payment, begun, paying

pytest_plugins = ["tests.integration.outside_server"]

ORDER = "pay:7"


@pytest.fixture
def till(endpoint: Endpoint) -> Till:
    return Till(endpoint)


@pytest.fixture
def pair(agentflow: Harness, till: Till) -> tuple[Hands, str, str]:
    """Two runs that are to pay one order; the first is about to be verified, and the second waits."""
    hands, first = begun(agentflow, till, paying(key="pay:{order_id}"), order_id="7")
    second = hands.begin(paying(), {"url": till.url, "order_id": "7"})
    till.pays(till.books_and_cuts)
    hands.do(first)
    assert hands.refusal(second) == ("key_in_flight", first)
    return hands, first, second


def keys(hands: Hands) -> list[tuple[str, str]]:
    rows = hands.sql("select key, run_id, status from agentflow.idempotency_records")
    return [(str(row["run_id"]), row["status"]) for row in rows if row["key"] == ORDER]


def test_a_key_is_held_while_its_step_is_verified(pair: tuple[Hands, str, str]) -> None:
    hands, first, second = pair

    assert keys(hands) == [(first, "in_doubt")]
    assert standing(hands, second) == ("waiting_tool", "key_in_flight")


def test_who_waits_gets_the_answer_that_was_found(pair: tuple[Hands, str, str], till: Till) -> None:
    hands, first, second = pair

    hands.work()

    results = [hands.harness.client.get(run_id).result for run_id in (first, second)]
    assert results == [{"key": ORDER, "number": 1}] * 2
    assert (till.booked, till.asked, keys(hands)) == ([ORDER], 1, [(first, "done")])


def test_who_waits_goes_on_waiting_while_the_call_is_made_again(pair: tuple[Hands, str, str], till: Till) -> None:
    hands, first, second = pair
    till.booked.clear()
    till.pays(till.books)

    hands.work()

    assert [hands.harness.client.get(run_id).status for run_id in (first, second)] == ["done", "done"]
    assert (till.booked, till.paid, keys(hands)) == ([ORDER], 2, [(first, "done")])


def test_who_waits_gets_the_key_of_a_call_that_never_happened(agentflow: Harness, till: Till) -> None:
    tripping = [True]

    def trip(url: str, order_id: str) -> str:
        if tripping:
            tripping.clear()
            raise ZeroDivisionError
        return order_id

    agent = Pipeline("tripping", [a_payment(pays=trip, key="pay:{order_id}")])
    hands, first = begun(agentflow, till, agent, order_id="7")
    second = hands.begin(agent, {"url": till.url, "order_id": "7"})
    hands.do(first)
    assert hands.refusal(second) == ("key_in_flight", first)

    hands.work()

    assert [hands.harness.client.get(run_id).status for run_id in (first, second)] == ["failed", "done"]
    assert keys(hands) == [(second, "done")]


def test_who_waits_for_a_key_in_doubt_waits_for_a_person(pair: tuple[Hands, str, str], till: Till) -> None:
    hands, first, second = pair
    till.says(Answer(CANNOT_TELL))

    hands.work()

    assert standing(hands, first) == ("waiting_human", "in_doubt")
    assert (hands.refusal(second)[0], keys(hands)) == ("not_due", [(first, "in_doubt")])
    hands.harness.client.operations.resolve(first, "happened", answer="by hand", by="ada")
    hands.work()
    assert hands.harness.client.get(second).result == "by hand"
