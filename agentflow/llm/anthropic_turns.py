"""Messages in Anthropic's form: roles take turns, a tool's answer is the user's, and call ids are unique."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from agentflow.domain.message import Message, ToolCall
from agentflow.llm.protocol import ToolSchema

EMPTY_TEXT = "(empty message)"
"""Stands for a customer's message without a letter in it, which the API refuses."""


def system_text(messages: Sequence[Message]) -> str | None:
    """The instructions, which have a place of their own."""
    return "\n\n".join(message["content"] or "" for message in messages if message["role"] == "system") or None


def tool_definitions(tools: Iterable[ToolSchema]) -> list[dict[str, Any]]:
    """The tools as the API is told of them."""
    return [{"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in tools]


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation without its instructions; neighbours of one role are one turn."""
    found: list[dict[str, Any]] = []
    ids = CallIds()
    for message in messages:
        if message["role"] == "system":
            continue
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = _blocks(message, ids)
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        elif blocks:
            found.append({"role": role, "content": blocks})
    return found


class CallIds:
    """Gives each call an id of its own: other providers repeat theirs, and use letters that are refused here."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._open: dict[str, list[str]] = {}

    def begin(self, calls: Iterable[ToolCall]) -> list[str]:
        """The ids of one answer's calls; tools answer these from now on."""
        self._open = {}
        return [self._begin_call(call["id"]) for call in calls]

    def answer(self, call_id: str) -> str:
        """The id that a tool's answer belongs to: the first open call of that name, in order."""
        waiting = self._open.get(call_id) or [_allowed(call_id)]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def _begin_call(self, call_id: str) -> str:
        unique, number = _allowed(call_id), 1
        while unique in self._used:
            number += 1
            unique = f"{_allowed(call_id)}_{number}"
        self._used.add(unique)
        self._open.setdefault(call_id, []).append(unique)
        return unique


def _allowed(call_id: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", call_id) or "call"


def _blocks(message: Message, ids: CallIds) -> list[dict[str, Any]]:
    content = message["content"] or ""
    if message["role"] == "tool":
        answered = ids.answer(message.get("tool_call_id", ""))
        return [{"type": "tool_result", "tool_use_id": answered, "content": content}]
    if message["role"] != "assistant":
        return [{"type": "text", "text": content if content.strip() else EMPTY_TEXT}]
    calls = message.get("tool_calls", [])
    texts = [{"type": "text", "text": content}] if content.strip() else []
    return texts + [
        {"type": "tool_use", "id": unique, "name": call["name"], "input": _input(call["arguments"])}
        for call, unique in zip(calls, ids.begin(calls), strict=True)
    ]


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as the object that they have to be here; what is none is shown to the model as it was."""
    try:
        value = json.loads(arguments, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"invalid_json": arguments}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
