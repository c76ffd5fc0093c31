"""Approvals and questions: what a person is asked, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class ApprovalKind(StrEnum):
    """What is asked: may this call be made, what is the answer, shall what was done be undone."""

    CALL = "call"
    QUESTION = "question"
    UNDO = "undo"


class ApprovalStatus(StrEnum):
    """Where it stands. `closed` is what its run did not wait for any more."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person is asked. `asked` shows it to people; `args_hash` binds the answer to exactly these arguments."""

    approval_id: str
    tenant: str
    run_id: str
    step_index: int
    kind: ApprovalKind
    tool: str
    args_hash: bytes
    asked: Any
    status: ApprovalStatus
    asked_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None
    answer: Any = None
    used_at: datetime | None = None
