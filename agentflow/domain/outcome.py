"""What one attempt at a step came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from agentflow.domain.message import Message


@dataclass(frozen=True, slots=True)
class ModelCallLog:
    """One answered model call, for the log and the budget."""

    model: str
    response_model: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None
    prompt: Sequence[Mapping[str, Any]]
    response: Message
    finish_reason: str


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message that is delivered if, and only if, the step that sends it is recorded."""

    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Completed:
    """The step did what it should. `output` is JSON."""

    output: Any
    scratchpad: Mapping[str, Any] = field(default_factory=dict)
    outbox: Sequence[OutboxMessage] = ()
    model_call: ModelCallLog | None = None
    flags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed. `happened` is None where nobody can tell whether its effect took place."""

    kind: str
    message: str
    happened: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    model_call: ModelCallLog | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The effect may or may not have taken place; a person has to say."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Nothing was called; the step waits in Postgres."""

    reason: str
    after: timedelta


AttemptOutcome = Completed | Failed | InDoubt
