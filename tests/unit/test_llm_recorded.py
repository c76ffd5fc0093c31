"""The recorded model: it answers what was recorded and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from agentflow.domain.errors import ConfigError, RecordingDeviated
from agentflow.domain.message import Message, assistant, system, tool, user
from agentflow.llm.protocol import ModelRequest
from agentflow.llm.recorded import RecordingEnded, recorded

WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{ "id": 1 }'}}
CALL: Any = {"id": "c1", "name": "look", "arguments": '{ "id": 1 }'}


def conversation(conversation_id: str, *answers: str) -> dict[str, Any]:
    messages: list[Any] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]},
        {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "found"},
    ]
    for answer in answers:
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "thanks"}]
    return {"conversation_id": conversation_id, "messages": messages}


def request(*messages: Message, customer: str | None = None) -> ModelRequest:
    return ModelRequest("openai:recorded", messages, user=customer)


LOOKED_UP = (user("hi"), assistant(None, [CALL]), tool(CALL, "found"))


def test_a_prefix_gets_the_recorded_answer_letter_for_letter() -> None:
    answer = recorded([conversation("a", "bye")]).complete(request(user("hi")))
    assert (answer.content, list(answer.tool_calls), answer.finish_reason) == (None, [CALL], "tool_calls")


def test_trials_with_a_shared_prefix_are_told_apart_by_the_user() -> None:
    model = recorded([conversation("a", "one"), conversation("b", "two")])
    assert model.complete(request(*LOOKED_UP, customer="b")).content == "two"
    assert model.complete(request(*LOOKED_UP, customer="a")).content == "one"


def test_an_unknown_user_gets_the_first_recording_that_fits() -> None:
    model = recorded([conversation("a", "one"), conversation("b", "two")])
    assert model.complete(request(*LOOKED_UP, customer="somebody")).content == "one"


def test_a_recording_that_goes_on_is_preferred_to_one_that_ends() -> None:
    model = recorded([conversation("short"), conversation("long", "one")])
    assert model.complete(request(*LOOKED_UP)).content == "one"


def test_the_tools_name_and_the_instructions_may_be_missing_from_the_recording() -> None:
    bare: Message = {"role": "tool", "tool_call_id": "c1", "content": "found"}
    asked = request(system("Be kind."), user("hi"), assistant(None, [CALL]), bare)
    assert recorded([conversation("a", "bye")]).complete(asked).content == "bye"


def test_recorded_instructions_are_compared() -> None:
    body = {"conversation_id": "a", "messages": [system("Be kind."), user("hi"), assistant("hello")]}
    assert recorded([body]).complete(request(system("Be kind."), user("hi"))).content == "hello"
    with pytest.raises(RecordingDeviated, match="message 0"):
        recorded([body]).complete(request(system("Be rude."), user("hi")))


@pytest.mark.parametrize(
    ("messages", "index", "shown"),
    [
        pytest.param((user("hello"),), 0, ["-  hi", "+  hello"], id="content"),
        pytest.param(
            (user("hi"), assistant(None, [{**CALL, "arguments": '{"id": 1}'}]), tool(CALL, "found")),
            1,
            ['-  { "id": 1 }', '+  {"id": 1}'],
            id="arguments' own text",
        ),
        pytest.param(
            (user("hi"), assistant("", [CALL]), tool(CALL, "found")), 1, ["-content: null"], id="null is not empty"
        ),
        pytest.param(
            (*LOOKED_UP[:2], tool({**CALL, "id": "c2"}, "found")),
            2,
            ["-tool_call_id: c1", "+tool_call_id: c2"],
            id="id",
        ),
        pytest.param((*LOOKED_UP, user("and?")), 3, ["-role: assistant", "+role: user"], id="role"),
        pytest.param(LOOKED_UP[:2], 2, ["asked with nothing"], id="asked too early"),
    ],
)
def test_a_deviation_shows_the_message_and_the_difference(
    messages: tuple[Message, ...], index: int, shown: list[str]
) -> None:
    with pytest.raises(RecordingDeviated) as caught:
        recorded([conversation("a", "bye")]).complete(request(*messages, customer="a"))
    text = str(caught.value)
    assert f"recording 'a' at message {index}" in text
    assert all(piece in text for piece in shown), text


def test_the_nearest_recording_is_shown_where_none_is_named() -> None:
    other = {"conversation_id": "z", "messages": [user("something else"), assistant("x")]}
    with pytest.raises(RecordingDeviated, match="recording 'a' at message 2"):
        recorded([other, conversation("a", "bye")]).complete(request(*LOOKED_UP[:2], tool(CALL, "lost")))


def test_a_long_difference_is_bounded() -> None:
    with pytest.raises(RecordingDeviated) as caught:
        recorded([conversation("a")]).complete(request(user("\n".join(map(str, range(5000))))))
    assert len(str(caught.value)) < 7000


def test_the_end_of_a_recording_says_so() -> None:
    whole = (*LOOKED_UP, assistant("bye"), user("thanks"))
    with pytest.raises(RecordingEnded, match="The recording ends here: 'a'") as caught:
        recorded([conversation("a", "bye")]).complete(request(*whole))
    assert caught.value.kind == "bad_input"


def test_messages_after_the_end_are_a_deviation() -> None:
    with pytest.raises(RecordingDeviated, match="at message 3"):
        recorded([conversation("a")]).complete(request(*LOOKED_UP, assistant("made up"), user("x")))


def test_no_recording_at_all_is_a_deviation() -> None:
    with pytest.raises(RecordingDeviated, match="no recording"):
        recorded([]).complete(request(user("hi")))


@pytest.mark.parametrize("line", ["{", "[]", '{"conversation_id": "a"}', '{"messages": [{"content": 1}]}'])
def test_a_line_that_is_no_recording_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f'{{"conversation_id": "a", "messages": []}}\n\n{line}\n')
    with pytest.raises(ConfigError, match=r"r\.jsonl:3 is no recording"):
        recorded(path)
