"""What a model's answer must be to be recorded: a server may send anything, and so may a client of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agentflow.domain import payload
from agentflow.domain.errors import ModelError
from agentflow.domain.quoting import quoted
from agentflow.llm.protocol import ModelResponse, Usage

MAX_TOKENS = 2**31 - 1
"""Of a prompt or an answer; no model has a window a thousandth as wide."""

MAX_COST_USD = 1_000_000

LONGEST_NAME = 200
"""Characters that are kept of a model's name, and of why an answer ended."""

_CALL_PARTS = ("id", "name", "arguments")


def usable(response: ModelResponse) -> ModelResponse:
    """Return an answer that can be recorded, its names mended; raise a ModelError, `malformed`, saying why it cannot.

    Texts and arguments are left as they are: what cannot be stored of them is mended, or told the model, later.
    """
    if not isinstance(response, ModelResponse):
        raise _malformed(f"it is {quoted(response)}, no ModelResponse")
    _check_message(response.content, response.tool_calls)
    _check_usage(response.usage)
    return replace(
        response,
        model=_name("model", response.model),
        finish_reason=_name("finish reason", response.finish_reason),
        cost_usd=_cost(response.cost_usd),
    )


def _check_message(content: Any, calls: Any) -> None:
    if content is not None and not isinstance(content, str):
        raise _malformed(f"its content is {quoted(content)}, no text")
    if not isinstance(calls, list | tuple):
        raise _malformed(f"its tool calls are {quoted(calls)}, no list")
    for call in calls:
        if not isinstance(call, Mapping) or not all(isinstance(call.get(part), str) for part in _CALL_PARTS):
            raise _malformed(f"its tool call {quoted(call)} lacks {', '.join(_CALL_PARTS)} as text")


def _check_usage(usage: Any) -> None:
    counts = (usage.prompt_tokens, usage.completion_tokens) if isinstance(usage, Usage) else (None,)
    if not all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts):
        raise _malformed(f"its usage is {quoted(usage)}")


def _name(what: str, text: Any) -> str:
    if not isinstance(text, str) or not text:
        raise _malformed(f"its {what} is {quoted(text)}")
    stored: str = payload.sanitise(text[:LONGEST_NAME]).value
    return stored.replace("\x00", "\ufffd")


def _cost(cost_usd: Any) -> Decimal | None:
    match cost_usd:
        case None:
            return None
        case Decimal() if cost_usd.is_finite() and 0 <= cost_usd <= MAX_COST_USD:
            return cost_usd
        case int() | float() if 0 <= cost_usd <= MAX_COST_USD:  # no comparison holds for NaN
            return Decimal(str(cost_usd))
    raise _malformed(f"its cost is {quoted(cost_usd)} dollars")


def _malformed(why: str) -> ModelError:
    return ModelError(f"The model's answer cannot be used: {why}.", kind="malformed")
