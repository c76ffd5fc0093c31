"""A model that plays a script: its answers are written down in the test or the demo that uses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentflow.domain.errors import ModelError
from agentflow.domain.message import ToolCall
from agentflow.llm.prices import cost_usd
from agentflow.llm.protocol import ModelRequest, ModelResponse
from agentflow.llm.tokens import estimate_usage


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One tool call of a scripted answer; `arguments` is the text that the engine gets to see."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ScriptedCalls:
    """An answer of several tool calls, with text beside them or without."""

    calls: tuple[ScriptedCall, ...]
    text: str | None = None
    ids: tuple[str, ...] | None = None


Answer = str | Mapping[str, Any] | ScriptedCall | ScriptedCalls | BaseException | Callable[[ModelRequest], Any]
"""Text; an object, sent as JSON; tool calls; an error to raise; or a function of the request that gives one of them."""


def call(tool: str, /, *, raw: str | None = None, **arguments: Any) -> ScriptedCall:
    """A tool call: `call("issue_refund", order_id="4421")`; `raw` is sent as the arguments word for word."""
    if raw is None:
        raw = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return ScriptedCall(tool, raw)


def calls(*wanted: ScriptedCall, text: str | None = None, ids: Iterable[str] | None = None) -> ScriptedCalls:
    """Several tool calls in one answer; `ids` are their call ids where a test needs its own, repeated ones say."""
    return ScriptedCalls(wanted, text, None if ids is None else tuple(ids))


def scripted(*answers: Answer) -> ScriptedModel:
    """A model that gives these answers, one per turn of the conversation."""
    return ScriptedModel(answers)


class ScriptedModel:
    """Answers by position: the request's own assistant messages say how far the conversation is.

    Nothing is counted here, so that a call repeated after a crash gets the same answer, in whichever process.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.answers = tuple(answers)

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Give the answer whose turn it is; raise ModelError when the script is over."""
        index = sum(message["role"] == "assistant" for message in request.messages)
        if index >= len(self.answers):
            raise ModelError(
                f"The script has {len(self.answers)} answers, asked for number {index + 1}: add one, or end the run.",
                kind="bad_input",
            )
        return _respond(self.answers[index], request, index)


def played_response(
    request: ModelRequest, content: str | None, tool_calls: list[ToolCall], model: str | None = None
) -> ModelResponse:
    """An answer that no provider gave: its usage is estimated, and a model without a price costs nothing."""
    usage = estimate_usage(request.messages, content, tool_calls)
    return ModelResponse(
        content=content,
        tool_calls=tool_calls,
        finish_reason="tool_calls" if tool_calls else "stop",
        model=model or request.model.partition(":")[2] or request.model,
        usage=usage,
        cost_usd=cost_usd(request.model, usage) or Decimal(0),
    )


def _respond(answer: Any, request: ModelRequest, index: int) -> ModelResponse:
    match answer:
        case str():
            return played_response(request, answer, [])
        case Mapping():
            return played_response(request, json.dumps(dict(answer), ensure_ascii=False), [])
        case ScriptedCall():
            return _respond(ScriptedCalls((answer,)), request, index)
        case ScriptedCalls():
            return played_response(request, answer.text, _numbered(answer, index))
        case BaseException():
            raise answer
        case _ if callable(answer):
            return _respond(answer(request), request, index)
    raise TypeError(f"{answer!r} is no answer: give text, call(...), calls(...), an exception or a function")


def _numbered(answer: ScriptedCalls, index: int) -> list[ToolCall]:
    ids = answer.ids or [f"call_{index}_{position}" for position in range(len(answer.calls))]
    return [
        {"id": call_id, "name": wanted.name, "arguments": wanted.arguments}
        for call_id, wanted in zip(ids, answer.calls, strict=True)
    ]
