"""What a process works with: its database, its declarations, its way to the broker, who it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentflow.declare.credential import OpenCredentials
from agentflow.declare.delivery import DeliveryKind
from agentflow.declare.registry import Registry
from agentflow.declare.resource import OpenResources
from agentflow.domain.claim import Claim, Refused
from agentflow.domain.hint import Hint, HintPublisher
from agentflow.domain.identity import Worker
from agentflow.domain.outcome import AttemptOutcome, Fenced
from agentflow.engine.deadman import DeadMansTimer, Timer
from agentflow.gate.open_gate import OpenGate
from agentflow.gate.protocol import Gate
from agentflow.llm.prices import PriceTable
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


class Models(Protocol):
    """From a model's name, and a key where its agent declares one, to its client."""

    def __call__(self, model: str, api_key: str | None = None) -> ModelClient:
        """Return the client; raise DeclarationError for a name of no provider."""
        ...


class Announcer(Protocol):
    """Told of each step that is continued here, as Celery would have been of its task."""

    def begin(self, hint: Hint) -> str:
        """Note that a step is begun whose hint was never sent; return the id of what would have been its task."""
        ...

    def end(self, task_id: str, ending: AttemptOutcome | Refused | Fenced) -> None:
        """Note what became of it."""
        ...


class Silent:
    """Tells nobody."""

    def begin(self, hint: Hint) -> str:  # noqa: ARG002 - an announcer's signature
        """Tell nobody."""
        return ""

    def end(self, task_id: str, ending: AttemptOutcome | Refused | Fenced) -> None:
        """Tell nobody."""


def never() -> bool:
    """Answer no."""
    return False


class ReportBug(Protocol):
    """Told each exception that nobody foresaw."""

    def __call__(self, error: BaseException, *, run_id: str, step_index: int, tool: str) -> None:
        """Report it."""
        ...


def report_nobody(error: BaseException, *, run_id: str, step_index: int, tool: str) -> None:
    """Report to nobody."""


@dataclass(slots=True)
class Runtime:
    """One process's means.

    `isolated` says that it does one step at a time and may be killed for it; `pool_slots` is how many steps of one
    bulkhead this worker may hold at once. `draw` gives random numbers between 0 and 1. `deliveries` are the kinds of
    messages that it knows; None says that it can't tell which there are.

    `continue_steps` is how many steps one task may take at most, `continue_s` for how many seconds it may begin
    another, `queues` what this worker serves: a next step of another queue is not its own to go on with.
    """

    database: Database
    registry: Registry
    hints: HintPublisher
    worker: Worker
    models: Models
    isolated: bool = False
    gate: Gate = field(default_factory=OpenGate)
    pool_slots: int | None = None
    prices: PriceTable | None = None
    deliveries: Mapping[str, DeliveryKind] | None = None
    resources: OpenResources = field(default_factory=OpenResources)
    credentials: OpenCredentials = field(default_factory=OpenCredentials)
    timer: Timer = field(default_factory=DeadMansTimer)
    reached: Reached = go_on
    report_bug: ReportBug = report_nobody
    draw: Callable[[], float] = random.random
    model_overrides: Mapping[str, Any] = field(default_factory=dict)
    continue_steps: int = 1
    continue_s: float = 20.0
    queues: frozenset[str] = frozenset()
    is_draining: Callable[[], bool] = never
    announcer: Announcer = field(default_factory=Silent)
