"""Token counts where no provider counted: what a call would have used, and what one will need at most."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentflow.domain.message import Message, ToolCall
from agentflow.llm.protocol import ToolSchema, Usage

CHARACTERS_PER_TOKEN = 4
"""The usual rule of thumb, for usage that is made up. Recordings and scripts are checked by it: it stays."""

BYTES_PER_TOKEN = 3
"""For prompts that are still to be sent. By o200k_base prose and code have about 4, JSON objects 3.2.

Rows of decimals (2.3), UUIDs (1.6) and base64 (1.5) have fewer: where a provider counted a part, its count is better.
"""

FRAME_TOKENS = 8
"""What a message or a tool costs beside its text: its role, its ids, and what stands around them."""


def estimate_usage(messages: Iterable[Message], content: str | None, tool_calls: Iterable[ToolCall]) -> Usage:
    """What a call would have used; the same input gives the same answer."""
    prompt = sum(_length(message["content"], message.get("tool_calls", ())) for message in messages)
    return Usage(_tokens(prompt), _tokens(_length(content, tool_calls)))


def estimate_tokens(
    messages: Sequence[Message],
    tools: Sequence[ToolSchema] = (),
    result_schema: Mapping[str, Any] | None = None,
) -> int:
    """How many tokens a prompt will need, rather too many than too few: money and window are set aside by it.

    Tools and the form of the result count as the JSON that they are sent as.
    """
    schemas = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    if result_schema is not None:
        schemas.append(dict(result_schema))
    texts = [_text(message) for message in messages]
    texts += [json.dumps(schema, ensure_ascii=False) for schema in schemas]
    return sum(FRAME_TOKENS - (-_bytes(text) // BYTES_PER_TOKEN) for text in texts)


def _text(message: Message) -> str:
    calls = [part for call in message.get("tool_calls", ()) for part in (call["id"], call["name"], call["arguments"])]
    return "".join([message["content"] or "", message.get("tool_call_id", ""), *calls])


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _length(content: str | None, tool_calls: Iterable[ToolCall]) -> int:
    return len(content or "") + sum(len(call["name"]) + len(call["arguments"]) for call in tool_calls)


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)
