"""The recordings are the ones that the acceptance tests are written for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.acceptance.airline.dataset import GOODBYE, TABLES, Ending, base_rows, conversations, expected, policy

pytestmark = pytest.mark.usefixtures("recordings")


def test_200_conversations_make_1343_runs_of_which_48_are_handed_off_and_5_meet_the_end_of_their_recording() -> None:
    endings = Counter(turn.ending for conversation in conversations() for turn in conversation.turns)

    assert len({conversation.conversation_id for conversation in conversations()}) == 200
    assert endings == {Ending.ANSWERED: 1290, Ending.HANDED_OFF: 48, Ending.RECORDING_ENDED: 5}


def test_two_recordings_end_with_a_customers_message_and_three_with_a_tools_answer() -> None:
    cut = [each for each in conversations() if each.turns[-1].ending is Ending.RECORDING_ENDED]

    assert Counter(each.messages[-1]["role"] for each in cut) == {"user": 2, "tool": 3}
    assert {each.conversation_id for each in cut if each.messages[-1]["role"] == "user"} == {
        "airline-09-3",
        "airline-46-3",
    }


def test_the_goodbye_is_no_run() -> None:
    said = [message["content"] for each in conversations() for message in each.messages if message["role"] == "user"]
    submitted = [turn.message for each in conversations() for turn in each.turns]

    assert len(said) - len(submitted) == 147
    assert not [message for message in submitted if GOODBYE in message]


def test_only_the_last_run_of_a_conversation_ends_without_the_models_words() -> None:
    early = [turn for each in conversations() for turn in each.turns[:-1] if turn.ending is not Ending.ANSWERED]

    assert early == []


def test_1164_calls_were_answered_and_175_of_them_change_rows() -> None:
    calls = {each.conversation_id: len(each.calls) for each in conversations()}
    changing = [call for each in expected().values() for call in each.state_changing_calls]

    assert sum(calls.values()) == 1164
    assert len(changing) == 175
    assert calls.keys() == expected().keys()


def test_the_airline_has_300_flights_2000_reservations_and_500_users() -> None:
    assert [len(base_rows(table)) for table in TABLES] == [300, 2000, 500]
    assert policy().startswith("# Airline Agent Policy")
