"""Owns the model: what it says to a conversation, by the plan that the conversation itself brings along.

The plan is the last message of the user that is a JSON object with `plan`, a list of turns. A turn is a text; or
`{"echo": "..."}`, a text that repeats what the tools answered; or a list of calls, `{"name": ..., "arguments": {...}}`.
A turn is over once it stands in the conversation as it was meant. Nothing is kept between two requests, so that
a request that is repeated gets the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
Turn = str | Mapping[str, str] | Sequence[Mapping[str, Any]]

NOTHING_LEFT = "That was all."
UNKNOWN = "no_such_tool"


def complete(request: Mapping[str, Any], slip: str | None = None) -> dict[str, Any]:
    """Return the completion for a request; with a slip, one that is wrong in that way where it calls tools."""
    messages = request["messages"]
    said = next_message(messages)
    calls = said.get("tool_calls")
    if calls and slip:
        _slip(calls, slip)
    asked, answered = _tokens(messages), _tokens([said])
    return {
        "id": f"chatcmpl-{len(messages)}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": request["model"],
        "choices": [{"index": 0, "message": said, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }


def next_message(messages: Sequence[Message]) -> dict[str, Any]:
    """Return what the assistant says next."""
    turns, since = _plan(messages)
    said = [message for message in messages[since:] if message["role"] == "assistant"]
    place = 0
    for message in said:
        place += place < len(turns) and _is(turns[place], message)
    turn = turns[place] if place < len(turns) else NOTHING_LEFT
    if isinstance(turn, str):
        return {"role": "assistant", "content": turn}
    if isinstance(turn, Mapping):
        return {"role": "assistant", "content": turn["echo"] + json.dumps(_outputs(messages[since:]))}
    calls = [_call(f"call_{len(messages)}_{number}", call) for number, call in enumerate(turn)]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _plan(messages: Sequence[Message]) -> tuple[Sequence[Turn], int]:
    for place in reversed(range(len(messages))):
        if messages[place]["role"] == "user" and (turns := _turns(messages[place]["content"])) is not None:
            return turns, place
    return [], 0


def _turns(content: Any) -> Sequence[Turn] | None:
    try:
        body = json.loads(content)
    except (TypeError, ValueError):
        return None
    return body.get("plan") if isinstance(body, dict) else None


def _is(turn: Turn, message: Message) -> bool:
    """True where a turn was said as it was meant."""
    if isinstance(turn, str):
        return bool(message["content"] == turn)
    if isinstance(turn, Mapping):
        return str(message["content"] or "").startswith(turn["echo"])
    said = [
        (call["function"]["name"], _read(call["function"]["arguments"])) for call in message.get("tool_calls") or ()
    ]
    return said == [(call["name"], call["arguments"]) for call in turn]


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _outputs(messages: Sequence[Message]) -> list[Any]:
    return [message["content"] for message in messages if message["role"] == "tool"]


def _call(number: str, call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    return {"id": number, "type": "function", "function": function}


def _slip(calls: list[dict[str, Any]], slip: str) -> None:
    if slip == "duplicate_ids":
        for call in calls:
            call["id"] = calls[0]["id"]
    elif slip == "missing_ids":
        for call in calls:
            call["id"] = ""
    elif slip == "unknown_tool":
        calls[-1]["function"]["name"] = UNKNOWN
    else:
        calls[-1]["function"]["arguments"] = calls[-1]["function"]["arguments"][:-1] + ', "and'


def _tokens(messages: Sequence[Message]) -> int:
    return 1 + len(json.dumps(list(messages))) // 4
