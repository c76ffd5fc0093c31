from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from agentflow import Agent, AgentflowError, Client, RunFailed, WaitTimeout, tool
from agentflow.client.submitting import DeclaredAgents
from agentflow.domain.errors import (
    IdempotencyConflict,
    InputTooLarge,
    InvalidInput,
    RunNotFound,
    SubmissionRefused,
    UnknownAgent,
)
from agentflow.domain.hint import Hint
from agentflow.testing import Harness, call, scripted
from tests.integration.counted import Counted
from tests.integration.hands import Hands
from tests.integration.workers.waiting import until


class Ticket(BaseModel):
    text: str
    urgent: bool = False


class Price(BaseModel):
    amount: float


@dataclass
class Note:
    text: str


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[look])
desk = Agent("desk", model="openai:gpt-4o-mini", input=Ticket)


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, clerk, desk, model=scripted(call("look", n=1), "done"))


@pytest.fixture
def client(hands: Hands) -> Client:
    return hands.harness.client


def count(hands: Hands) -> int:
    return int(hands.value("select count(*) from agentflow.agent_runs"))


def test_a_submission_is_a_pending_run_and_one_hint(hands: Hands, client: Client) -> None:
    handle = client.submit("clerk", "hello", user="ann", conversation="c1")

    run = client.get(handle.run_id)
    assert (run.status, run.input, run.user_id, run.conversation_id) == ("pending", "hello", "ann", "c1")
    assert (run.agent, run.agent_version, run.budget) == ("clerk", clerk.version, clerk.budget.as_json())
    assert hands.harness.hints.take() == Hint("coordinator.advance", "coordinator", handle.run_id)
    assert hands.harness.hints.take() is None


def test_run_ids_are_ordered_by_time(client: Client) -> None:
    run_ids = [client.submit("clerk", "x").run_id for _ in range(5)]

    assert run_ids == sorted(run_ids)
    assert {UUID(run_id).version for run_id in run_ids} == {7}


@pytest.mark.parametrize(
    "value", [Ticket(text="a\x00"), {"text": "a\x00"}, Note("a\x00")], ids=["model", "dict", "dataclass"]
)
def test_an_input_may_be_a_model_a_dataclass_or_plain_data(client: Client, value: Any) -> None:
    assert client.submit("desk", value).get().input["text"] == "a\x00"


def test_an_input_with_lone_surrogates_is_mended_and_the_run_is_flagged(client: Client) -> None:
    run = client.submit("clerk", {"text": "\ud800"}).get()

    assert (run.input, run.flags) == ({"text": "�"}, ["lone_surrogates_replaced"])


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


REFUSED: dict[str, tuple[str, Any, type[AgentflowError], str]] = {
    "NaN": ("clerk", {"price": float("nan")}, InvalidInput, r"the input cannot be stored: \$\.price: nan is not JSON"),
    "NaN in a model": ("clerk", Price(amount=float("inf")), InvalidInput, r"\$\.amount: inf is not JSON"),
    "5,000 digits": ("clerk", [10**4999], InvalidInput, r"\$\[0\]: an integer of over 1000 digits"),
    "6,000 levels": ("clerk", nested(6_000), InvalidInput, "nested deeper than 64 levels"),
    "65 levels": ("clerk", nested(65), InvalidInput, "nested deeper than 64 levels"),
    "bytes": ("clerk", b"hello", InvalidInput, r"\$: a bytes is not JSON"),
    "an object": ("clerk", object(), InvalidInput, "the input is no JSON data"),
    "an object inside": ("clerk", {"a": object()}, InvalidInput, r"\$\.a: a object is not JSON"),
    "a key that is no string": ("clerk", {1: "a"}, InvalidInput, r"\$: the key 1 is not a string"),
    "a missing field": (
        "desk",
        {"urgent": True},
        InvalidInput,
        "the input of 'desk' does not fit .*'text' is a required",
    ),
    "a wrong type": ("desk", {"text": "a", "urgent": 3}, InvalidInput, "urgent: 3 is not of type 'boolean'"),
    "no object": ("desk", "hello", InvalidInput, "input: 'hello' is not of type 'object'"),
    "1 MB": (
        "clerk",
        "x" * 1_000_000,
        InputTooLarge,
        r"1000002 bytes; the limit is 1000000 \(AGENTFLOW_MAX_INPUT_BYTES\)",
    ),
    "10 MB": ("clerk", "é" * 5_000_000, InputTooLarge, "10000002 bytes; the limit is 1000000"),
    "an unknown agent": (
        "nobody",
        "x",
        UnknownAgent,
        "no worker has registered an agent 'nobody'; registered: 'clerk', 'desk'",
    ),
}


@pytest.mark.parametrize(("agent", "value", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_a_submission_that_is_refused_says_why_and_writes_nothing(
    hands: Hands, client: Client, agent: str, value: Any, error: type[AgentflowError], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        client.submit(agent, value)

    assert isinstance(raised.value, SubmissionRefused)
    assert count(hands) == 0
    assert hands.harness.hints.take() is None


def test_an_input_of_just_the_limit_is_taken(client: Client) -> None:
    assert len(client.submit("clerk", "x" * 999_998).get().input) == 999_998


@pytest.mark.parametrize("name", ["user", "conversation", "idempotency_key"])
@pytest.mark.parametrize("value", ["", "a\x00b", "a\nb", "x" * 501, 7], ids=lambda value: repr(value)[:10])
def test_a_label_that_cannot_be_one_is_refused(hands: Hands, client: Client, name: str, value: Any) -> None:
    with pytest.raises(SubmissionRefused, match=f"{name}=.*give a str of 1 to 500 printable characters"):
        client.submit("clerk", "x", **{name: value})
    assert count(hands) == 0


def test_an_agent_that_nobody_registered_yet_says_what_to_start(agentflow: Harness) -> None:
    with pytest.raises(UnknownAgent, match="registered: none yet: start a worker with AGENTFLOW_AGENTS set"):
        agentflow.client.submit("clerk", "x")


def test_the_same_key_and_input_is_the_same_run(hands: Hands, client: Client) -> None:
    first = client.submit("clerk", {"a": 1, "b": 2}, idempotency_key="k")
    again = client.submit("clerk", {"b": 2, "a": 1}, idempotency_key="k")

    assert (first.created, again.created, first.run_id == again.run_id, count(hands)) == (True, False, True, 1)


@pytest.mark.parametrize(("agent", "value"), [("clerk", "other"), ("desk", {"text": "x"})], ids=["input", "agent"])
def test_the_same_key_with_another_input_or_agent_is_a_conflict(
    hands: Hands, client: Client, agent: str, value: Any
) -> None:
    client.submit("clerk", {"text": "x"}, idempotency_key="k")

    with pytest.raises(IdempotencyConflict, match="the idempotency key 'k' was used with another agent or input"):
        client.submit(agent, value, idempotency_key="k")
    assert count(hands) == 1


def test_submissions_of_one_key_at_one_moment_are_one_run(hands: Hands, client: Client) -> None:
    together = Barrier(8)

    def submit(_: int) -> tuple[str, bool]:
        together.wait()
        handle = client.submit("clerk", "x", idempotency_key="k")
        return handle.run_id, handle.created

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(submit, range(8)))

    assert len({run_id for run_id, _ in found}) == 1
    assert sum(created for _, created in found) == 1
    assert count(hands) == 1


def test_a_run_that_is_not_to_begin_yet_waits_until_its_time(hands: Hands, client: Client) -> None:
    handle = client.submit("clerk", "x", not_before=datetime.now(UTC) + timedelta(hours=1))
    hands.work()
    assert (handle.get().status, client.steps(handle.run_id)) == ("pending", [])

    for column in ("not_before", "advance_due_at"):
        hands.sql(f"update agentflow.agent_runs set {column} = clock_timestamp()")
    hands.work()
    assert handle.get().status == "done"


def test_a_time_without_a_zone_is_refused(client: Client) -> None:
    with pytest.raises(
        SubmissionRefused, match=r"not_before='2026-11-22T12:00:00' has no time zone; give one, UTC say"
    ):
        client.submit("clerk", "x", not_before=datetime(2026, 11, 22, 12))  # noqa: DTZ001


@pytest.mark.parametrize("run_id", ["", "nonsense", "00000000-0000-7000-8000-000000000000"])
def test_a_run_that_is_not_there_is_said_so(client: Client, run_id: str) -> None:
    with pytest.raises(RunNotFound, match=f"'{run_id}'"):
        client.get(run_id)


def test_waiting_ends_with_the_run(hands: Hands, client: Client) -> None:
    handle = client.submit("clerk", "x")

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(handle.result, 10)
        hands.work()
        assert waiting.result() == "done"


def test_waiting_too_long_says_so_and_the_run_goes_on(hands: Hands, client: Client) -> None:
    handle = client.submit("clerk", "x")

    with pytest.raises(WaitTimeout, match=f"run {handle.run_id} is pending after 0.05 s; it goes on"):
        handle.wait(0.05)
    hands.work()
    assert handle.result(1) == "done"


def test_the_result_of_a_run_that_failed_is_its_failure(hands: Hands, client: Client) -> None:
    hands.runtime.model_overrides = {"clerk": scripted(ValueError("out of order"))}
    handle = client.submit("clerk", "x")
    hands.work()

    with pytest.raises(RunFailed, match=f"run {handle.run_id} ended failed: model: ValueError: out of order"):
        handle.result(1)
    assert handle.wait(1).status == "failed"


def test_runs_are_listed_the_newest_first_and_by_what_is_asked(hands: Hands, client: Client) -> None:
    first = client.submit("clerk", "x", user="ann").run_id
    second = client.submit("desk", {"text": "y"}, user="bob", conversation="c1").run_id
    hands.sql("update agentflow.agent_runs set status = 'failed' where run_id = %(id)s", id=first)

    def listed(**wanted: Any) -> list[str]:
        return [run.run_id for run in client.list(**wanted)]

    assert listed() == [second, first]
    assert listed(most=1) == [second]
    assert (listed(status="failed"), listed(agent="desk"), listed(user="ann")) == ([first], [second], [first])
    assert (listed(conversation="c1"), listed(user="ann", agent="desk")) == ([second], [])


def test_a_client_that_submits_often_asks_for_the_agent_once_a_second(hands: Hands) -> None:
    counted = Counted(hands.harness.database)
    declared = DeclaredAgents(counted)

    versions = {declared.get("clerk")["version"] for _ in range(20)}

    assert (versions, counted.sent["agent_by_name"]) == ({clerk.version}, 1)
    counted.close()


def test_a_new_registration_is_seen_without_being_told(hands: Hands) -> None:
    declared = DeclaredAgents(hands.harness.database)
    assert declared.get("clerk")["version"] == clerk.version

    newer = Agent("clerk", model="openai:gpt-4o", tools=[look])
    hands.harness.runtime(newer)

    until(lambda: declared.get("clerk")["version"] == newer.version, "the new registration")


def test_one_that_is_not_registered_yet_is_asked_for_again(hands: Hands) -> None:
    declared = DeclaredAgents(hands.harness.database)
    late = Agent("late", model="openai:gpt-4o-mini", tools=[look])
    with pytest.raises(UnknownAgent):
        declared.get("late")

    hands.harness.runtime(late)

    assert declared.get("late")["version"] == late.version


def test_the_newest_registration_of_an_agent_counts(hands: Hands, client: Client) -> None:
    newer = Agent("clerk", model="openai:gpt-4o", input=Ticket)
    Hands(hands.harness, newer)

    with pytest.raises(InvalidInput):
        client.submit("clerk", "no ticket")
    assert client.submit("clerk", {"text": "x"}).get().agent_version == newer.version


class Deaf:
    """A broker that does not answer."""

    def publish(self, hints: Any) -> bool:
        return False


@pytest.fixture
def deaf(hands: Hands) -> Iterator[Client]:
    with Client(database_url=hands.harness.database.url, hints=Deaf()) as client:
        yield client


def test_a_submission_is_taken_although_the_broker_does_not_answer(hands: Hands, deaf: Client) -> None:
    handle = deaf.submit("clerk", "x")

    assert hands.run_row(handle.run_id)["advance_hinted_at"] is None
    hands.work()
    assert handle.get().status == "done"
