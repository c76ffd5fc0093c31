"""The messages of runs, put together from their steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain import message
from agentflow.domain.message import Message, ToolCall
from agentflow.domain.step import MODEL, Step, StepStatus
from agentflow.policy.approval import Unapproved

SHOWN_BYTES = 16 * 1024
NOT_EXECUTED = "not executed"
_LEFT_OPEN = frozenset({StepStatus.SKIPPED, StepStatus.PENDING, StepStatus.RUNNING})


def messages_of(history: Sequence[Step]) -> list[Message]:
    """Return the messages of one run: what was asked, thought, called and answered, in order.

    A call without an answer (its run ended before) is answered with "not executed", since no vendor takes a call
    that stays open.
    """
    by_call = {(step.parent_index, step.call_index): step for step in history}
    messages: list[Message] = []
    for step in history:
        if step.tool_name != MODEL:
            continue
        if "message" in step.input:
            messages.append(message.user(step.input["message"]))
        if step.status is StepStatus.OK:
            messages.append(message.assistant(step.output["content"], step.output["tool_calls"]))
            for index, call in enumerate(step.output["tool_calls"]):
                messages.append(_answer(step, call, index, by_call.get((step.step_index, index))))
    return messages


def shown(value: Any) -> str:
    """Return a tool's output as the model sees it: strings word for word, all else as JSON, both bounded."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) * 4 <= SHOWN_BYTES or len(text.encode("utf-8", "replace")) <= SHOWN_BYTES:
        return text
    head = text.encode("utf-8", "replace")[:SHOWN_BYTES].decode("utf-8", "ignore")
    return f"{head}\n[shortened: {len(text) - len(head)} more characters]"


def _answer(thought: Step, call: ToolCall, index: int, acted: Step | None) -> Message:
    complaint = thought.output.get("errors", {}).get(str(index))
    if complaint is not None:
        return message.tool(call, json.dumps({"error": complaint}, ensure_ascii=False))
    if acted is None:
        return message.tool(call, NOT_EXECUTED)
    if acted.status is StepStatus.OK:
        return message.tool(call, shown(acted.output))
    error = acted.error or {}
    # A step that waited for another attempt when its run ended is skipped, and may have happened all the same; what a
    # person refused is skipped too, and the model has to know that it was refused, and why.
    is_refused = error.get("kind") in list(Unapproved)
    if acted.status in _LEFT_OPEN and error.get("happened", False) is False and not is_refused:
        return message.tool(call, NOT_EXECUTED)
    return message.tool(call, _failure(error))


def _failure(error: Mapping[str, Any]) -> str:
    if error.get("kind") == "tool_error":
        return shown(error["message"])
    typed: dict[str, Any] = {"kind": error.get("kind"), "message": shown(error.get("message"))}
    if error.get("happened", False) is not False:
        # The model must not take it for undone, and ask for it once more.
        typed["may_have_happened"] = True
    return json.dumps({"error": typed}, ensure_ascii=False)
