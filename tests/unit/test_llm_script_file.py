"""Scripts in a file, one per customer."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentflow.domain.errors import ConfigError, ModelError
from agentflow.domain.message import assistant, user
from agentflow.llm.protocol import ModelRequest
from agentflow.llm.script_file import ScriptedByCustomer, read_scripts

SCRIPTS = [
    {
        "match": {"user_contains": "order 4421"},
        "answers": [{"tool_calls": [{"name": "refund", "arguments": {"order": "4421"}}], "content": "Wait."}, "done"],
    },
    {"match": {"user": "eve"}, "answers": [{"error": {"kind": "rate_limited", "retry_after_s": 2}}]},
    {"answers": [{"tool_calls": [{"name": "look", "arguments": "{oops"}]}]},
]


@pytest.fixture
def model(tmp_path: Path) -> ScriptedByCustomer:
    return written(tmp_path, {"scripts": SCRIPTS})


def written(folder: Path, body: Any) -> ScriptedByCustomer:
    path = folder / "scripts.json"
    path.write_text(json.dumps(body))
    return read_scripts(path)


def test_the_customers_first_message_chooses_the_script(model: ScriptedByCustomer) -> None:
    asked = [user("My order 4421 is broken"), assistant("Wait."), user("Well?")]
    assert model.complete(ModelRequest("openai:m", asked)).content == "done"


def test_an_answer_may_hold_calls_and_text(model: ScriptedByCustomer) -> None:
    answer = model.complete(ModelRequest("openai:m", [user("order 4421")]))
    assert answer.content == "Wait."
    assert answer.tool_calls[0]["arguments"] == '{"order":"4421"}'


def test_the_user_field_chooses_too_and_an_error_is_raised(model: ScriptedByCustomer) -> None:
    with pytest.raises(ModelError) as caught:
        model.complete(ModelRequest("openai:m", [user("hi")], user="eve"))
    assert (caught.value.kind, caught.value.retry_after_s) == ("rate_limited", 2)


def test_a_script_without_match_is_for_everybody_else(model: ScriptedByCustomer) -> None:
    answer = model.complete(ModelRequest("openai:m", [user("hi")]))
    assert answer.tool_calls[0]["arguments"] == "{oops"


def test_a_customer_without_a_script_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No script fits"):
        written(tmp_path, {"scripts": SCRIPTS[:1]}).complete(ModelRequest("openai:m", [user("hi")]))


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"scripts": [{"match": {"usr": "x"}, "answers": []}]},
        {"scripts": [{}]},
        {"scripts": [{"answers": [{"text": "x"}]}]},
        {"scripts": [{"answers": [{"tool_calls": [{}]}]}]},
    ],
)
def test_a_file_of_another_shape_is_named(tmp_path: Path, body: Any) -> None:
    with pytest.raises(ConfigError, match=r"scripts\.json is no file of scripts"):
        written(tmp_path, body)
