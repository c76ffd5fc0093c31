"""Messages between an agent and its model, in the chat-completions form, which is the form they are stored in.

    {"role": "system", "content": str}
    {"role": "user", "content": str}
    {"role": "assistant", "content": str | None, "tool_calls": [{"id": str, "name": str, "arguments": str}, ...]}
    {"role": "tool", "tool_call_id": str, "name": str, "content": str}

`arguments` is the model's own text, never parsed and printed again: it need not be JSON. Call ids come from the model
and are not unique.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NotRequired, TypedDict

_HASHED = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class ToolCall(TypedDict):
    """One call that a model asks for."""

    id: str
    name: str
    arguments: str


class Message(TypedDict):
    """One message; which keys it has depends on its role."""

    role: str
    content: str | None
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


def system(content: str) -> Message:
    """The agent's instructions."""
    return {"role": "system", "content": content}


def user(content: str) -> Message:
    """What the customer wrote, word for word."""
    return {"role": "user", "content": content}


def assistant(content: str | None, tool_calls: Iterable[ToolCall] = ()) -> Message:
    """What the model answered."""
    message: Message = {"role": "assistant", "content": content}
    if calls := list(tool_calls):
        message["tool_calls"] = calls
    return message


def tool(call: ToolCall, content: str) -> Message:
    """A tool's answer to one call."""
    return {"role": "tool", "tool_call_id": call["id"], "name": call["name"], "content": content}


def chain(bodies: Iterable[dict[str, Any]], head: bytes = b"") -> list[bytes]:
    """The hash of each prefix: a body's hash covers its parent's, so that equal prefixes have equal hashes."""
    hashes = []
    for body in bodies:
        head = hashlib.sha256(head + _HASHED.encode(body).encode("utf-8", "surrogatepass")).digest()
        hashes.append(head)
    return hashes
