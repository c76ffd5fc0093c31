"""The form of messages on the wire."""

from typing import Any

import pytest

from agentflow.domain.message import Message, assistant, system, tool, user
from agentflow.llm.wire import read_message, wire_message

CALL: Any = {"id": "", "name": "look", "arguments": '{"a":1,,'}


@pytest.mark.parametrize(
    "message",
    [
        system("s"),
        user(""),
        assistant("text"),
        assistant(None, [CALL, CALL]),
        assistant("", [CALL]),
        {"role": "tool", "tool_call_id": "", "content": "\x00 é \u2028"},
    ],
)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    assert read_message(wire_message(message)) == message


def test_a_tools_name_is_not_sent() -> None:
    assert wire_message(tool(CALL, "x")) == {"role": "tool", "tool_call_id": "", "content": "x"}


def test_text_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_message({"role": "user", "content": parts})["content"] == "ab"


@pytest.mark.parametrize(
    "body",
    [
        "text",
        {"content": "x"},
        {"role": "user", "content": 7},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "a", "arguments": {}}}]},
    ],
)
def test_what_is_no_message_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match="not"):
        read_message(body)
