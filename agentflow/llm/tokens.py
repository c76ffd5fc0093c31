"""Token counts where no provider counted: four characters are a token, rounded up."""

from __future__ import annotations

from collections.abc import Iterable

from agentflow.domain.message import Message, ToolCall
from agentflow.llm.protocol import Usage

CHARACTERS_PER_TOKEN = 4


def estimate_usage(messages: Iterable[Message], content: str | None, tool_calls: Iterable[ToolCall]) -> Usage:
    """What a call would have used; the same input gives the same answer."""
    prompt = sum(_length(message["content"], message.get("tool_calls", ())) for message in messages)
    return Usage(_tokens(prompt), _tokens(_length(content, tool_calls)))


def _length(content: str | None, tool_calls: Iterable[ToolCall]) -> int:
    return len(content or "") + sum(len(call["name"]) + len(call["arguments"]) for call in tool_calls)


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)
