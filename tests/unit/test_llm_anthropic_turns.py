"""The chat-completions form in Anthropic's words."""

import json
from typing import Any

import pytest

from agentflow.domain.message import ToolCall, assistant, system, tool, user
from agentflow.llm.anthropic_turns import system_text, turns


def wanted(call_id: str, arguments: str = "{}", name: str = "look") -> ToolCall:
    return {"id": call_id, "name": name, "arguments": arguments}


def test_instructions_have_a_place_of_their_own() -> None:
    messages = [system("Be kind."), user("hi")]
    assert system_text(messages) == "Be kind."
    assert turns(messages) == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


def test_a_call_and_its_answer_stay_together() -> None:
    asked = wanted("c1", '{"id": 7, "deep": {"a": [1.50]}}')
    found = turns([user("hi"), assistant("Looking.", [asked]), tool(asked, "found"), user("and?")])
    assert found[1]["content"] == [
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"id": 7, "deep": {"a": [1.5]}}},
    ]
    assert found[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "found"},
            {"type": "text", "text": "and?"},
        ],
    }


def test_repeated_call_ids_become_unique_and_keep_their_answers() -> None:
    both = [wanted("x", name="a"), wanted("x", name="b")]
    messages = [user("1"), assistant(None, both), tool(both[0], "A"), tool(both[1], "B")]
    again = wanted("x", name="c")
    found = turns([*messages, assistant(None, [again]), tool(again, "C")])
    blocks = [block for turn in found for block in turn["content"]]
    uses = {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
    answers = {block["tool_use_id"]: block["content"] for block in blocks if block["type"] == "tool_result"}
    assert uses == {"x": "a", "x_2": "b", "x_3": "c"}
    assert answers == {"x": "A", "x_2": "B", "x_3": "C"}


@pytest.mark.parametrize(("call_id", "sent"), [("", "call"), ("a:b/1", "a_b_1")])
def test_ids_that_the_api_refuses_are_rewritten(call_id: str, sent: str) -> None:
    asked = wanted(call_id)
    found = turns([user("1"), assistant(None, [asked]), tool(asked, "A")])
    assert found[1]["content"][0]["id"] == found[2]["content"][0]["tool_use_id"] == sent


@pytest.mark.parametrize("raw", ["{not json", "[1]", "", "NaN", '{"a": NaN}', "[" * 100_000])
def test_arguments_that_are_no_object_are_shown_as_they_were(raw: str) -> None:
    found = turns([user("1"), assistant(None, [wanted("c", raw)])])
    assert found[1]["content"][0]["input"] == {"invalid_json": raw}


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_customers_message_is_said_to_be_empty(content: str) -> None:
    assert turns([user(content)])[0]["content"] == [{"type": "text", "text": "(empty message)"}]


def test_an_empty_answer_leaves_no_empty_turn() -> None:
    found: Any = turns([user("a"), assistant(None), user("b")])
    assert json.dumps(found).count("role") == 1
    assert [block["text"] for block in found[0]["content"]] == ["a", "b"]
