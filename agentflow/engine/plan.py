"""A plan: a decision with the rows that it adds, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentflow.domain.decision import EngineDecision
from agentflow.store.steps import PlannedStep


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision ready to be written, and the version of the run that it was made on.

    `alone` says that no step of the run was open in that version, but the one that ends with this plan.
    """

    version: int
    decision: EngineDecision
    steps: list[PlannedStep] = field(default_factory=list)
    alone: bool = False
