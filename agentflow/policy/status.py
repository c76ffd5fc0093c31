"""Where a run that is not final stands, from its open steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agentflow.domain.run import RunStatus
from agentflow.domain.step import StepStatus


class OpenStep(Protocol):
    """What is known of a step that is not final."""

    @property
    def status(self) -> StepStatus:
        """Where the step stands."""
        ...

    @property
    def is_parked(self) -> bool:
        """True while it waits for a time that has not come."""
        ...

    @property
    def waiting_reason(self) -> str | None:
        """What it waits for, machine-readable."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """A status and what the run waits for, machine-readable."""

    status: RunStatus
    waiting_reason: str | None = None


def standing_of(steps: Iterable[OpenStep]) -> Standing:
    """Answer where a run stands: a doubt needs a person; parked steps alone wait for their tools."""
    steps = list(steps)
    if any(step.status is StepStatus.IN_DOUBT for step in steps):
        return Standing(RunStatus.WAITING_HUMAN, "in_doubt")
    parked = [step for step in steps if step.is_parked]
    if parked and len(parked) == len(steps):
        return Standing(RunStatus.WAITING_TOOL, parked[0].waiting_reason)
    return Standing(RunStatus.RUNNING)
