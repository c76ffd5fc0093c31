"""The chat-completions form as it travels over HTTP, beside the form that messages are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.domain.message import Message, ToolCall
from agentflow.llm.protocol import ToolSchema


def wire_message(message: Message) -> dict[str, Any]:
    """The message as a server is sent it: nothing is trimmed, parsed, renamed or left out but a tool's name."""
    body: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if calls := message.get("tool_calls"):
        body["tool_calls"] = [wire_call(call) for call in calls]
    if "tool_call_id" in message:
        body["tool_call_id"] = message["tool_call_id"]
    return body


def wire_call(call: ToolCall) -> dict[str, Any]:
    """A tool call with its function apart, as the protocol has it."""
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": call["arguments"]},
    }


def wire_tool(tool: ToolSchema) -> dict[str, Any]:
    """A tool as a server is told of it."""
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


def read_message(body: Any) -> Message:
    """The message in a request, a recording or a store; raise ValueError where it has another shape."""
    role = body.get("role") if isinstance(body, Mapping) else None
    if not (isinstance(role, str) and role):
        raise ValueError(f"a message is an object with a 'role', not {_shown(body)}")
    message: Message = {"role": role, "content": _read_content(body.get("content"))}
    if calls := body.get("tool_calls"):
        message["tool_calls"] = [read_call(call) for call in calls]
    if isinstance(body.get("tool_call_id"), str):
        message["tool_call_id"] = body["tool_call_id"]
    if role == "tool" and isinstance(body.get("name"), str):
        message["name"] = body["name"]
    return message


def read_call(body: Any) -> ToolCall:
    """A tool call in either form; raise ValueError where it has neither."""
    inner = body.get("function", body) if isinstance(body, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(inner.get(key), str) for key in ("name", "arguments")):
        raise ValueError(f"a tool call has a 'name' and 'arguments' as text, not {_shown(body)}")
    return {"id": str(body.get("id") or ""), "name": inner["name"], "arguments": inner["arguments"]}


def _read_content(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
        return "".join(str(part["text"]) for part in content)
    raise ValueError(f"a message's 'content' is text or null, not {_shown(content)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
