"""What a process works with: its database, its declarations, its way to the broker, who it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentflow.declare.registry import Registry
from agentflow.declare.resource import OpenResources
from agentflow.domain.claim import Claim
from agentflow.domain.hint import HintPublisher
from agentflow.domain.identity import Worker
from agentflow.domain.outcome import AttemptOutcome
from agentflow.engine.deadman import DeadMansTimer, Timer
from agentflow.llm.protocol import ModelClient
from agentflow.store.database import Database

# Between the end of a call's timeout and the end of its lease there is this much time to record.
RECORD_MARGIN_S = 10.0


class Reached(Protocol):
    """Told each point of a step's way, with the claim and the outcome where there is one by then."""

    def __call__(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        """Let the step go on, or raise what a crash would be."""
        ...


def go_on(point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
    """Let every point of the way pass."""


@dataclass(slots=True)
class Runtime:
    """One process's means. `isolated` says that it does one step at a time and may be killed for it."""

    database: Database
    registry: Registry
    hints: HintPublisher
    worker: Worker
    models: Callable[[str], ModelClient]
    isolated: bool = False
    resources: OpenResources = field(default_factory=OpenResources)
    timer: Timer = field(default_factory=DeadMansTimer)
    reached: Reached = go_on
    model_overrides: Mapping[str, Any] = field(default_factory=dict)
