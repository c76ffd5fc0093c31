"""The comparison with the recordings finds nothing in faultless logs, and each fault that is put into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection, text

from agentflow.store import schema
from tests.acceptance.airline.dataset import Conversation, Ending, conversations
from tests.acceptance.airline.logbook import Logbook
from tests.acceptance.airline.transcript import answer_differences, ending_differences, prompt_differences
from tests.acceptance.airline.world import World


def chosen() -> Sequence[Conversation]:
    """Return a dozen conversations that end in every way there is."""
    unusual = [each for each in conversations() if each.turns[-1].ending is not Ending.ANSWERED]
    return [*conversations()[:3], *unusual[:4], *(each for each in unusual if each.turns[-1].result is None)]


@pytest.fixture(scope="module")
def faultless_logs(filled_world: World) -> Iterator[Connection]:
    """Faultless logs of the chosen conversations, in a transaction that is never committed."""
    schema.upgrade(filled_world.engine.url.render_as_string(hide_password=False), "agentflow")
    with filled_world.engine.connect() as connection:
        connection.execute(text("set local search_path to agentflow"))
        logbook = Logbook(connection)
        for conversation in chosen():
            logbook.write(conversation)
        yield connection
        connection.rollback()


@pytest.fixture
def logs(faultless_logs: Connection) -> Iterator[Connection]:
    """The same logs; what a test does to them is undone."""
    savepoint = faultless_logs.begin_nested()
    yield faultless_logs
    savepoint.rollback()


def test_faultless_logs_show_no_difference(logs: Connection) -> None:
    assert ending_differences(logs, chosen()) == []
    assert answer_differences(logs, chosen()) == []
    assert prompt_differences(logs, chosen()) == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("update agent_runs set status = 'failed', error = '{\"message\": \"no\"}'", id="failed"),
        pytest.param("update agent_runs set result = '\"Sure.\"'", id="another result"),
        pytest.param("update agent_runs set status = 'running', result = null", id="not ended"),
        pytest.param("update agent_runs set conversation_id = null", id="no run"),
    ],
)
def test_a_run_that_ended_otherwise_is_named(logs: Connection, fault: str) -> None:
    chosen_run = "(select run_id from agent_runs where result is not null limit 1)"
    logs.execute(text(f"{fault} where run_id = {chosen_run}"))

    assert len(ending_differences(logs, chosen())) >= 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("update agent_steps set tool_output = '\"\"'", id="another answer"),
        pytest.param('update agent_steps set tool_input = \'{"user_id": "someone_else"}\'', id="other arguments"),
        pytest.param("update agent_steps set tool_name = 'get_reservation_details'", id="another tool"),
        pytest.param("delete from attempts", id="no call"),
    ],
)
def test_a_tool_call_that_went_otherwise_is_named(logs: Connection, fault: str) -> None:
    chosen_call = "(select run_id, step_index from agent_steps where tool_name = 'get_user_details' limit 1)"
    logs.execute(text(f"{fault} where (run_id, step_index) = {chosen_call}"))

    assert len(answer_differences(logs, chosen())) >= 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("update model_calls set prompt_head = (select hash from messages limit 1)", id="another prompt"),
        pytest.param('update model_calls set response = \'{"role": "assistant", "content": ""}\'', id="another answer"),
        pytest.param("delete from model_calls", id="no call"),
    ],
)
def test_a_model_call_that_went_otherwise_is_named(logs: Connection, fault: str) -> None:
    chosen_call = "(select run_id, step_index from model_calls order by step_index desc limit 1)"
    logs.execute(text(f"{fault} where (run_id, step_index) = {chosen_call}"))

    assert len(prompt_differences(logs, chosen())) >= 1


def test_a_prompt_in_which_one_letter_differs_is_named(logs: Connection) -> None:
    logs.execute(
        text(
            "update messages set body = replace(body::text, 'user ID', 'user Id')::json where body ->> 'role' = :role"
        ),
        {"role": "assistant"},
    )

    assert len(prompt_differences(logs, chosen())) >= 1
