"""What a coordinator may decide about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain.run import Outcome
from agentflow.domain.step import NewStep


@dataclass(frozen=True, slots=True)
class Next:
    """Go on with these steps, side by side."""

    steps: Sequence[NewStep]


@dataclass(frozen=True, slots=True)
class Wait:
    """Something is still open; its end brings the next decision."""


@dataclass(frozen=True, slots=True)
class Done:
    """The run is finished. `why` is the ceiling that ended it: kind, message, step_index; None of a complete one."""

    result: Any
    outcome: Outcome = Outcome.COMPLETE
    why: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The run ends `failed`. `reason` is machine-readable, `message` is for people.

    As a decision it needs its reason. `Fail()` without one is a declaration's `fallback=`: the ceiling is the reason.
    """

    reason: str = ""
    message: str = ""
    step_index: int | None = None


@dataclass(frozen=True, slots=True)
class Compensate:
    """The run undoes what it did, newest first, and then ends `failed`, whatever its declaration says of failures."""

    reason: str
    message: str = ""
    step_index: int | None = None


Decision = Next | Wait | Done | Fail | Compensate
