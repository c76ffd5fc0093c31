"""A run: one job of an agent, its statuses and the legal ways between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class RunStatus(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_TOOL = "waiting_tool"
    WAITING_HUMAN = "waiting_human"
    COMPENSATING = "compensating"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True once nothing more happens by itself."""
        return self in FINAL_RUN_STATUSES


class Compensation(StrEnum):
    """What became of a run's effects when it did not end `done`; None of one whose effects nobody had to judge."""

    DONE = "done"
    FAILED = "failed"
    KEPT = "kept"


class OnFailure(StrEnum):
    """What happens to what a run did, when it fails."""

    KEEP = "keep"
    COMPENSATE = "compensate"
    ASK = "ask"


class Outcome(StrEnum):
    """What a finished run came to."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    HANDOFF = "handoff"


FINAL_RUN_STATUSES = frozenset({RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED})

_OPEN = {
    RunStatus.RUNNING,
    RunStatus.WAITING_TOOL,
    RunStatus.WAITING_HUMAN,
    RunStatus.COMPENSATING,
    RunStatus.PAUSED,
}

# From a status to those it may become; the store refuses every other change.
RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset(_OPEN | FINAL_RUN_STATUSES),
    **{status: frozenset((_OPEN | FINAL_RUN_STATUSES) - {status}) for status in _OPEN},
    # A run that was paused before it began has yet to begin.
    RunStatus.PAUSED: frozenset((_OPEN | FINAL_RUN_STATUSES | {RunStatus.PENDING}) - {RunStatus.PAUSED}),
    RunStatus.DONE: frozenset(),
    RunStatus.FAILED: frozenset({RunStatus.RUNNING, RunStatus.COMPENSATING}),
    # Where what it did could not be undone, and an operator has that tried again.
    RunStatus.CANCELLED: frozenset({RunStatus.COMPENSATING}),
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used of its budget."""

    attempts: int = 0
    tool_calls: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What model calls that have begun may cost at most; it is settled when they end."""

    tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run will end once what it did is undone, or a person has said that it stays.

    `status` is failed or cancelled. `asks` says that a person is asked first, by the step `asked_index`.
    """

    status: RunStatus
    reason: str
    message: str = ""
    step_index: int | None = None
    asks: bool = False
    asked_index: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as a decision sees it. `version` counts what was recorded: a decision on an older one is not written."""

    run_id: str
    tenant: str
    agent: str
    agent_version: str
    status: RunStatus
    input: Any
    user_id: str | None = None
    conversation_id: str | None = None
    scratchpad: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    spent: Spent = Spent()
    reserved: Reserved = Reserved()
    version: int = 0
    current_step: int = -1
    deadline_at: datetime | None = None
    created_at: datetime | None = None
    stop_requested: str | None = None
    pause_requested: bool = False
    waiting_reason: str | None = None
    queue: str = "coordinator"
    fallback: str = "fail"
    on_failure: str = "keep"
    ending: Ending | None = None
    compensation: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    forked_from: str | None = None
    notify: Mapping[str, Any] = field(default_factory=dict)
