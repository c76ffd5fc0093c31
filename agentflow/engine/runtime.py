"""What a process works with: its database, its declarations, its way to the broker, who it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentflow.declare.registry import Registry
from agentflow.declare.resource import OpenResources
from agentflow.domain.hint import HintPublisher
from agentflow.domain.identity import Worker
from agentflow.engine.deadman import DeadMansTimer, Timer
from agentflow.llm.protocol import ModelClient
from agentflow.store.database import Database

# Between the end of a call's timeout and the end of its lease there is this much time to record.
RECORD_MARGIN_S = 10.0


def _nowhere(_: str) -> None:
    """Let every point of the way pass."""


@dataclass(slots=True)
class Runtime:
    """One process's means. `reached` is told each point of a step's way, for tests that crash there."""

    database: Database
    registry: Registry
    hints: HintPublisher
    worker: Worker
    models: Callable[[str], ModelClient]
    isolated: bool = False
    resources: OpenResources = field(default_factory=OpenResources)
    timer: Timer = field(default_factory=DeadMansTimer)
    reached: Callable[[str], None] = _nowhere
    model_overrides: Mapping[str, Any] = field(default_factory=dict)
