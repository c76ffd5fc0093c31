"""The airline itself, without an engine: its tools, called as recorded, give the recorded answers and rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx2
import pytest
from sqlalchemy import text

from agentflow.declare.resource import OpenResources
from tests.acceptance.airline.comparison import row_differences, write_differences
from tests.acceptance.airline.dataset import Conversation, RecordedCall, base_rows, conversations
from tests.acceptance.airline.declaration import declare
from tests.acceptance.airline.replay import Replay
from tests.acceptance.airline.rows import PostgresRows
from tests.acceptance.airline.service import AirlineService
from tests.acceptance.airline.world import World

POLL_S = 0.02


@pytest.fixture
def service_url(world: World) -> Iterator[str]:
    with AirlineService(world) as service:
        serving = threading.Thread(target=service.serve_forever, args=(POLL_S,), daemon=True)
        serving.start()
        yield service.url
        service.shutdown()


@pytest.fixture
def replay(request: pytest.FixtureRequest, world: World, service_url: str) -> Iterator[Replay]:
    """The tools with writes of the effect that the test asks for."""
    database_url = world.engine.url.render_as_string(hide_password=False)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AGENTFLOW_DATABASE_URL", database_url)
        environment.setenv("AIRLINE_URL", service_url)
        resources = OpenResources()
        yield Replay(declare(request.param), world.engine, resources)
        resources.close()


with_transactional_writes = pytest.mark.parametrize("replay", ["transactional"], indirect=True)
with_keyed_writes = pytest.mark.parametrize("replay", ["keyed"], indirect=True)


def first_call(tool: str) -> tuple[Conversation, RecordedCall]:
    """Return the first recorded call of a tool that was answered with more than a refusal or an empty list."""
    calls = ((conversation, call) for conversation in conversations() for call in conversation.calls)
    return next(found for found in calls if found[1].name == tool and not found[1].answer.startswith(("Error", "[]")))


@pytest.mark.parametrize("replay", ["transactional", "keyed"], indirect=True)
def test_all_1164_recorded_calls_give_the_recorded_answers_letter_for_letter_and_the_expected_rows(
    replay: Replay, world: World
) -> None:
    differences = [line for each in conversations() for line in replay.answer_differences(each)]

    assert differences == []
    with world.engine.begin() as connection:
        assert row_differences(connection, conversations()) == []
        assert write_differences(connection, conversations()) == []


@with_keyed_writes
def test_a_keyed_write_that_is_sent_again_gives_the_same_answer_and_writes_once(replay: Replay, world: World) -> None:
    conversation, call = first_call("send_certificate")
    for each in conversation.calls:
        replay.perform(conversation, each)

    again = replay.perform(conversation, call)

    assert again == call.answer
    with world.engine.begin() as connection:
        assert row_differences(connection, [conversation]) == []
        assert write_differences(connection, [conversation]) == []
        assert connection.execute(text("select sum(repeats) from public.airline_keys")).scalar() == 1


@with_keyed_writes
def test_keyed_writes_sent_at_once_under_one_key_are_carried_out_once(replay: Replay, world: World) -> None:
    conversation, call = first_call("send_certificate")
    answers: list[str] = []
    senders = [threading.Thread(target=lambda: answers.append(replay.perform(conversation, call))) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(timeout=30)

    assert answers == [call.answer] * 8
    with world.engine.begin() as connection:
        assert write_differences(connection, [conversation]) == []


@with_transactional_writes
def test_a_write_that_happens_twice_shows_in_the_rows_and_in_the_list_of_writes(replay: Replay, world: World) -> None:
    conversation, call = first_call("send_certificate")
    for each in [*conversation.calls, call]:
        replay.perform(conversation, each)

    with world.engine.begin() as connection:
        assert len(row_differences(connection, [conversation])) == 1
        assert len(write_differences(connection, [conversation])) == 2


def test_a_write_that_is_left_out_shows_in_the_rows_and_in_the_list_of_writes(world: World) -> None:
    conversation, _ = first_call("send_certificate")

    with world.engine.begin() as connection:
        assert len(row_differences(connection, [conversation])) == 1
        assert len(write_differences(connection, [conversation])) == 1


@with_transactional_writes
def test_a_flight_that_a_conversation_has_changed_is_changed_for_its_searches_alone(
    replay: Replay, world: World
) -> None:
    conversation, call = first_call("search_direct_flight")
    offer = json.loads(call.answer)[0]
    flight = base_rows("flights")[offer["flight_number"]]
    cancelled = {**flight, "dates": {**flight["dates"], call.arguments["date"]: {"status": "cancelled"}}}
    with world.engine.begin() as connection:
        PostgresRows(connection, conversation.conversation_id).save("flights", offer["flight_number"], cancelled)

    assert json.loads(replay.perform(conversation, call)) == json.loads(call.answer)[1:]
    assert replay.perform(conversations()[-1], call) == call.answer


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        pytest.param("/cancel_flight", {"Idempotency-Key": "k"}, {}, 404, id="no such tool"),
        pytest.param("/cancel_reservation", {}, {}, 400, id="no key"),
        pytest.param("/cancel_reservation", {"Idempotency-Key": "k"}, {}, 400, id="no conversation"),
        pytest.param("/cancel_reservation", {"Idempotency-Key": "k"}, [1], 400, id="no object"),
    ],
)
def test_the_service_refuses_what_is_no_request(
    service_url: str, path: str, headers: dict[str, str], body: object, status: int
) -> None:
    reply = httpx2.post(service_url + path, headers=headers, json=body)

    assert reply.status_code == status


def test_the_service_refuses_a_key_that_stands_for_another_request(service_url: str) -> None:
    arguments = {"user_id": "mia_li_3668", "amount": 50}
    first, second = [
        httpx2.post(
            f"{service_url}/send_certificate",
            headers={"Idempotency-Key": "k"},
            json={"conversation_id": "c", "arguments": {**arguments, "amount": amount}},
        )
        for amount in (50, 60)
    ]

    assert (first.status_code, second.status_code) == (200, 422)
    assert first.text == "Certificate certificate_3221322 added to user mia_li_3668 with amount 50."
