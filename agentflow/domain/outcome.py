"""What one attempt at a step came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agentflow.domain.message import Message


@dataclass(frozen=True, slots=True)
class ModelCallLog:
    """One model call, for the log and the budget. One that failed has no response, and is charged what it may cost."""

    model: str
    response_model: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None
    prompt: Sequence[Mapping[str, Any]]
    response: Message | None
    finish_reason: str | None
    error: Mapping[str, Any] | None = None


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
    """The step failed. `happened` is None where nobody can tell whether its effect took place.

    `status` is the HTTP status where there was one, `retry_after_s` the other side's own wish in seconds.
    """

    kind: str
    message: str
    happened: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    model_call: ModelCallLog | None = None
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The effect may or may not have taken place; its verification has to say, or a person."""

    kind: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retrying:
    """The attempt failed, and the step is parked for another one; `reason` is what it waits for."""

    failed: Failed
    after_s: float
    reason: str


AttemptOutcome = Completed | Failed | InDoubt | Retrying


@dataclass(frozen=True, slots=True)
class Fenced:
    """The outcome came too late: the attempt was somebody else's by then. It is kept as evidence."""

    outcome: AttemptOutcome
