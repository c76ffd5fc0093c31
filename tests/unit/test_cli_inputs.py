"""A run's input from the command line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from agentflow.cli.complaints import WrongUse
from agentflow.cli.inputs import parse_input, read_text
from agentflow.domain.errors import InputTooLarge, InvalidInput

TEXT: dict[str, Any] = {"type": "string"}
OBJECT: dict[str, Any] = {"type": "object"}
ANYTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ('{"n": 1}', OBJECT, {"n": 1}),
        ("[1, 2]", ANYTHING, [1, 2]),
        ("4421", ANYTHING, 4421),
        ("Where is my order?", ANYTHING, "Where is my order?"),
        ("Where is my order?", TEXT, "Where is my order?"),
        ("4421", TEXT, "4421"),
        ('{"n": 1}', TEXT, '{"n": 1}'),
        ('"quoted"', TEXT, "quoted"),
        ("null", TEXT, "null"),
    ],
)
def test_input_is_json_or_the_message_itself(text: str, schema: dict[str, Any], value: object) -> None:
    assert parse_input(text, schema, "support") == value


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("{n: 1}", OBJECT),
        ("{n: 1}", ANYTHING),
        ("plain", OBJECT),
        ('{"n": NaN}', OBJECT),
        ("[" * 100_000, OBJECT),
        ("9" * 5000, OBJECT),
    ],
    ids=["unquoted-key", "broken-json-for-any", "plain-text", "nan", "deep", "long-integer"],
)
def test_input_that_is_no_json_is_refused_with_the_way_out(text: str, schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"'support' is no JSON.*@FILE or -"):
        parse_input(text, schema, "support")


def test_text_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"n": 1}', encoding="utf-8")
    assert read_text(f"@{tmp_path}/input.json", 1000) == '{"n": 1}'


def test_text_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("häuser".encode())))
    assert read_text("-", 1000) == "häuser"


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"nowhere\.json.*No such file"):
        read_text(f"@{tmp_path}/nowhere.json", 1000)


def test_file_far_over_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 500, encoding="utf-8")
    with pytest.raises(InputTooLarge, match="limit is 100"):
        read_text(f"@{tmp_path}/big", 100)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"\x89PNG\xff")
    with pytest.raises(InvalidInput, match="no UTF-8"):
        read_text(f"@{tmp_path}/image", 100)
