"""What the engine asks of a model, and what it gets back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from agentflow.domain.message import Message, ToolCall


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as the model is told of it; `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model. `model` is `provider:name`; `user` is the end user on whose behalf the agent works."""

    model: str
    messages: Sequence[Message]
    tools: Sequence[ToolSchema] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    result_schema: dict[str, Any] | None = None
    user: str | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """A model's answer. `model` is the name that the provider gave; `cost_usd` is None for a model without a price."""

    content: str | None
    tool_calls: Sequence[ToolCall]
    finish_reason: str
    model: str
    usage: Usage = Usage()
    cost_usd: Decimal | None = None


class ModelClient(Protocol):
    """Something that answers model requests."""

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer once, without retries of its own; raise ModelError otherwise."""
        ...
