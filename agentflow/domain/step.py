"""A step: one durable unit of a run, its statuses, and the classes of effect it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    IN_DOUBT = "in_doubt"
    OK = "ok"
    ERROR = "error"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        """True once the step has its outcome."""
        return self in FINAL_STEP_STATUSES


FINAL_STEP_STATUSES = frozenset({StepStatus.OK, StepStatus.ERROR, StepStatus.SKIPPED})

STEP_TRANSITIONS: Mapping[StepStatus, frozenset[StepStatus]] = {
    StepStatus.PENDING: frozenset({StepStatus.RUNNING, StepStatus.OK, StepStatus.ERROR, StepStatus.SKIPPED}),
    StepStatus.RUNNING: frozenset({StepStatus.OK, StepStatus.ERROR, StepStatus.PENDING, StepStatus.IN_DOUBT}),
    StepStatus.IN_DOUBT: frozenset({StepStatus.OK, StepStatus.ERROR, StepStatus.PENDING}),
    StepStatus.OK: frozenset(),
    StepStatus.ERROR: frozenset({StepStatus.PENDING}),
    # By an operator alone, who reopens a failed run.
    StepStatus.SKIPPED: frozenset({StepStatus.PENDING}),
}


class Effect(StrEnum):
    """What a tool does to the world, and so what may happen after a crash."""

    READ = "read"
    TRANSACTIONAL = "transactional"
    KEYED = "keyed"
    IDEMPOTENT = "idempotent"
    VERIFIED = "verified"
    UNSAFE = "unsafe"

    @property
    def needs_process(self) -> bool:
        """True where a call that outlives its lease must be killed, which only a process of its own allows."""
        return self in {Effect.IDEMPOTENT, Effect.VERIFIED, Effect.UNSAFE}


MODEL = "model"
APPROVAL = "approval"
VERIFY = "verify"
COMPENSATE = "compensate"
RESERVED_TOOL_NAMES = frozenset({MODEL, APPROVAL, VERIFY, COMPENSATE, "question"})
# Steps that clear up what others left: a run that stops, or is past its deadline, still takes them.
CLEARING = frozenset({VERIFY, COMPENSATE})
# Such a step belongs to the engine, not to the plan of a coordinator.
OWN_STEPS = CLEARING | {APPROVAL}


def sent_key_of(key: str, generation: int) -> str:
    """Return the key as the other side is shown it: one that was used before, and undone since, is another one."""
    return key if generation == 1 else f"{key}#{generation}"


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step that a decision asks for. `parent_index`, `call_index`: which call of which model answer it serves."""

    tool_name: str
    input: Mapping[str, Any]
    parent_index: int | None = None
    call_index: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step as a decision sees it.

    `subject_index` and `subject_tool` name the step that a verification or a compensation is about. `noted` is what
    it wrote into the scratchpad.
    """

    run_id: str
    step_index: int
    tool_name: str
    status: StepStatus
    input: Any
    output: Any = None
    error: Mapping[str, Any] | None = None
    parent_index: int | None = None
    call_index: int | None = None
    attempt: int = 0
    idempotency_key: str = ""
    waiting_reason: str | None = None
    next_attempt_at: datetime | None = None
    effect: Effect = Effect.READ
    subject_index: int | None = None
    subject_tool: str | None = None
    noted: Mapping[str, Any] | None = None
    key_generation: int = 1

    @property
    def sent_key(self) -> str:
        """The key that the other side was shown."""
        return sent_key_of(self.idempotency_key, self.key_generation)

    @property
    def is_parked(self) -> bool:
        """True while it waits for a time or an event."""
        return self.status is StepStatus.PENDING and self.waiting_reason is not None

    @property
    def is_open(self) -> bool:
        """True while the step still has to happen or to be cleared up."""
        return not self.status.is_final
