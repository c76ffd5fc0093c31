"""What differs between a recording and a request, in words and lines that fit into an error message."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

LINE_WIDTH = 120
MAX_LINES = 40
MAX_CHARACTERS = 6_000


def describe_deviation(
    conversation_id: str, index: int, recorded: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]]
) -> str:
    """Name the first message that differs and show how, as a bounded unified diff."""
    expected = recorded[index] if index < len(recorded) else None
    got = asked[index] if index < len(asked) else None
    head = f"The request deviates from recording {conversation_id!r} at message {index}: "
    diff = difflib.unified_diff(_lines(expected), _lines(got), "recorded", "asked", lineterm="", n=2)
    return head + f"recorded {_role(expected)}, asked with {_role(got)}.\n" + _bounded(list(diff))


def _role(body: dict[str, Any] | None) -> str:
    return f"a message of role {body['role']!r}" if body else "nothing (it ends there)"


def _lines(body: dict[str, Any] | None) -> list[str]:
    if body is None:
        return []
    lines = [f"role: {body['role']}", *_field("content", body["content"])]
    if "tool_call_id" in body:
        lines.append(f"tool_call_id: {body['tool_call_id']}")
    for call in body.get("tool_calls", ()):
        lines += [f"call {call['id']}: {call['name']}", *_field("arguments", call["arguments"])]
    return lines


def _field(name: str, text: str | None) -> list[str]:
    if text is None:
        return [f"{name}: null"]
    pieces = [
        line[start : start + LINE_WIDTH]
        for line in text.split("\n")
        for start in range(0, max(len(line), 1), LINE_WIDTH)
    ]
    return [f"{name}:", *(f"  {piece}" for piece in pieces)]


def _bounded(lines: list[str]) -> str:
    text = "\n".join(lines[:MAX_LINES])[:MAX_CHARACTERS]
    return text if len(lines) <= MAX_LINES else f"{text}\n... and {len(lines) - MAX_LINES} more lines"
