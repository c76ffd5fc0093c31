"""A run that has ended, as whoever reopens it sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentflow.domain.run import Run
from agentflow.domain.step import Step


@dataclass(frozen=True, slots=True)
class EndedStep:
    """A step of a run that has ended, and when it was asked for and had its outcome."""

    step: Step
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run with how it ended. `has_successor` where a later run of its conversation has begun."""

    run: Run
    error: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[EndedStep] = ()
    has_successor: bool = False
