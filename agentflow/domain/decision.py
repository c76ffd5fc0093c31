"""What a coordinator may decide about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain.run import Compensation, Ending, Outcome
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


@dataclass(frozen=True, slots=True)
class Undo:
    """The engine's own: what the run did is to be undone, or a person asked whether it shall be, before it ends."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class EndUndone:
    """The engine's own: the run ends as it was going to.

    `compensation` is what became of its effects, None of a run that had none to undo.
    """

    ending: Ending
    compensation: Compensation | None
    message: str = ""


Decision = Next | Wait | Done | Fail | Compensate
EngineDecision = Next | Wait | Done | Fail | Undo | EndUndone
