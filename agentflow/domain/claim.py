"""A claim: what is known of a step under its lock, the answers a claim may get, and what a worker holds afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import Effect, Step, StepStatus, sent_key_of


class ClaimAnswer(StrEnum):
    """What a claim was answered."""

    CLAIMED = "claimed"
    DUPLICATE = "duplicate"
    NOT_DUE = "not_due"
    BUDGET = "budget"
    KEY_IN_FLIGHT = "key_in_flight"
    KEY_DONE = "key_done"
    KEY_CONFLICT = "key_conflict"
    RUN_STOPPED = "run_stopped"
    UNSERVED = "unserved"
    CACHED = "cached"
    BUDGET_RESERVED = "budget_reserved"
    DENIED = "denied"
    UNAPPROVED = "unapproved"


@dataclass(frozen=True, slots=True)
class LockedStep:
    """A step's row under its lock, with what the fence is compared to."""

    run_id: str
    step_index: int
    tenant: str
    tool_name: str
    input: Any
    status: StepStatus
    attempt: int
    idempotency_key: str
    business_key: bool
    args_hash: bytes
    effect: Effect
    timeout_s: float
    queue: str
    task_name: str
    claim_token: str | None
    worker_id: str | None
    lease_until: datetime | None
    next_attempt_at: datetime | None
    quarantined: bool
    deaths: int
    claimed_at: datetime | None = None
    bulkhead: str | None = None
    reserved: Reserved = field(default_factory=Reserved)
    error: Mapping[str, Any] | None = None
    waiting_reason: str | None = None
    subject_index: int | None = None
    subject_tool: str | None = None
    person: str | None = None
    settle_s: float | None = None
    verify_after: bool = False
    unconfirmed: Mapping[str, Any] | None = None
    key_generation: int = 1

    @property
    def sent_key(self) -> str:
        """The key that the other side is shown."""
        return sent_key_of(self.idempotency_key, self.key_generation)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Who holds an idempotency key, and what it came to."""

    run_id: str
    step_index: int
    args_hash: bytes
    status: str
    output: Any
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A step in one attempt's hands: attempt and token are the fence. `history` is the run at the time of the claim.

    `call_s` is how long the call may take: the step's timeout, or what is left of the run's time.
    """

    run: Run
    step: LockedStep
    attempt: int
    token: str
    claimed_at: datetime
    lease_until: datetime
    history: Sequence[Step]
    call_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The claim got another answer than `claimed`. `detail` is machine-readable."""

    answer: ClaimAnswer
    detail: str = ""
