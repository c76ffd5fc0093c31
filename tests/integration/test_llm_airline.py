"""Two hundred recorded conversations of a real model, played back over HTTP."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentflow.domain.message import system
from agentflow.llm.clients import VendorClient, client_for
from agentflow.llm.protocol import ModelClient, ModelRequest
from agentflow.llm.recorded import Recording, RecordingEnded, read_recordings, recorded
from agentflow.llm.server import ModelServer

AIRLINE = Path(__file__).parents[2].parent / "shared" / "data" / "airline"
RECORDINGS = AIRLINE / "conversations.jsonl"

pytestmark = pytest.mark.skipif(not RECORDINGS.exists(), reason="the airline recordings are not beside the project")


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return read_recordings(RECORDINGS)


@pytest.fixture(scope="module")
def client() -> Iterator[VendorClient]:
    with ModelServer(recorded(RECORDINGS)) as server:
        yield client_for("openai:gpt-4o", base_url=server.base_url)


def replay(client: ModelClient, recording: Recording) -> int:
    """Ask for each answer of a conversation, with the instructions that the recording leaves out."""
    policy = system((AIRLINE / "policy.md").read_text())
    asked = [index for index, message in enumerate(recording.messages) if message["role"] == "assistant"]
    for index in asked:
        messages = [policy, *recording.messages[:index]]
        answer = client.complete(ModelRequest("openai:gpt-4o", messages, user=recording.conversation_id))
        expected = recording.messages[index]
        assert answer.content == expected["content"]
        assert list(answer.tool_calls) == expected.get("tool_calls", [])
        assert answer.finish_reason == ("tool_calls" if answer.tool_calls else "stop")
    return len(asked)


def test_every_recorded_answer_comes_back_letter_for_letter(recordings: list[Recording]) -> None:
    model = recorded(RECORDINGS)
    answers = [replay(model, recording) for recording in recordings]
    assert (len(recordings), sum(answers)) == (200, 2454)


def test_over_http_they_come_back_the_same(client: VendorClient, recordings: list[Recording]) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda recording: replay(client, recording), recordings[::5]))
    assert sum(answers) > 400


def test_without_a_user_each_answer_is_found_by_its_messages(recordings: list[Recording]) -> None:
    model = recorded(RECORDINGS)
    for recording in recordings:
        for index, message in enumerate(recording.messages):
            if message["role"] == "assistant":
                answer = model.complete(ModelRequest("openai:gpt-4o", recording.messages[:index]))
                assert answer.content is not None or answer.tool_calls


def test_after_the_last_word_of_each_conversation_the_recording_ends(recordings: list[Recording]) -> None:
    model = recorded(RECORDINGS)
    for recording in recordings:
        with pytest.raises(RecordingEnded, match=recording.conversation_id):
            model.complete(ModelRequest("openai:gpt-4o", recording.messages, user=recording.conversation_id))


def test_the_recordings_hold_what_makes_replay_hard(recordings: list[Recording]) -> None:
    """Repeated call ids, text beside calls, and trials with a common beginning: else the tests above show little."""
    ids = [[call["id"] for message in r.messages for call in message.get("tool_calls", [])] for r in recordings]
    assert sum(len(found) != len(set(found)) for found in ids) > 10
    assert any(message.get("tool_calls") and message["content"] for r in recordings for message in r.messages)
    assert len({json.dumps(r.messages[:2]) for r in recordings}) < len(recordings)
