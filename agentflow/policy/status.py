"""Where a run that is not final stands, from its open steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agentflow.domain.run import RunStatus
from agentflow.domain.step import StepStatus
from agentflow.domain.waiting import IN_DOUBT, VERIFYING, Person


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


def standing_of(steps: Iterable[OpenStep], *, is_pausing: bool = False, is_ending: bool = False) -> Standing:
    """Answer where a run stands: a doubt needs a person; parked steps alone wait, for a person or for their tools.

    A pause holds once nothing runs. With `is_ending` the run undoes what it did.
    """
    # A doubt that is being verified stands in its verification's place.
    steps = [step for step in steps if step.waiting_reason != VERIFYING or step.status is not StepStatus.IN_DOUBT]
    if any(step.status is StepStatus.IN_DOUBT for step in steps):
        return Standing(RunStatus.WAITING_HUMAN, IN_DOUBT)
    if is_pausing and not any(step.status is StepStatus.RUNNING for step in steps):
        return Standing(RunStatus.PAUSED)
    moving = Standing(RunStatus.COMPENSATING if is_ending else RunStatus.RUNNING)
    if not steps or not all(step.is_parked for step in steps):
        return moving
    reasons = [step.waiting_reason for step in steps]
    tools = [reason for reason in reasons if reason not in list(Person)]
    if not tools:
        return Standing(RunStatus.WAITING_HUMAN, reasons[0])
    return Standing(moving.status if is_ending else RunStatus.WAITING_TOOL, tools[0])
