"""What a person's word allows: whether a step may be called, and whether an approval may still be decided."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from agentflow.domain.approval import Approval, ApprovalKind, ApprovalStatus
from agentflow.domain.claim import ClaimAnswer, LockedStep, Refused
from agentflow.domain.run import Run
from agentflow.domain.waiting import Person


class Unapproved(StrEnum):
    """Why a step may never be called: the detail of its refused claim, and the kind of its error."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    OTHER_ARGUMENTS = "other_arguments"
    MISSING = "missing"


def refuse_unapproved(step: LockedStep, approval: Approval | None, now: datetime) -> Refused | None:
    """Return why a step that wants a person may not be called, or None where it may, or wants none.

    An approval holds for its step and for exactly its arguments, whichever attempt it is.
    """
    if step.person is None:
        return None
    if approval is None:
        return Refused(ClaimAnswer.UNAPPROVED, Unapproved.MISSING)
    if approval.args_hash != step.args_hash:
        return Refused(ClaimAnswer.UNAPPROVED, Unapproved.OTHER_ARGUMENTS)
    match approval.status:
        case ApprovalStatus.APPROVED if step.person == Person.APPROVAL:
            return None
        case ApprovalStatus.PENDING if now < approval.expires_at:
            return Refused(ClaimAnswer.NOT_DUE, step.person)
        case ApprovalStatus.PENDING | ApprovalStatus.EXPIRED:
            return Refused(ClaimAnswer.UNAPPROVED, Unapproved.EXPIRED)
        case ApprovalStatus.REJECTED:
            return Refused(ClaimAnswer.UNAPPROVED, Unapproved.REJECTED)
        case _:
            return Refused(ClaimAnswer.UNAPPROVED, Unapproved.MISSING)


def refuse_decision(run: Run, approval: Approval, now: datetime) -> str | None:
    """Return why nobody may decide an approval any more, or None where a person may."""
    if approval.status is not ApprovalStatus.PENDING:
        return settled_as(approval)
    if run.status.is_final:
        return f"its run {run.run_id} is over: {run.status}"
    if run.stop_requested and approval.kind is not ApprovalKind.UNDO:
        return f"its run {run.run_id} is being stopped: {run.stop_requested}"
    if now >= approval.expires_at:
        return f"it expired at {_moment(approval.expires_at)}"
    return None


def settled_as(approval: Approval) -> str:
    """Return in words what became of an approval that is open no more."""
    at = "" if approval.decided_at is None else f" at {_moment(approval.decided_at)}"
    if approval.decided_by is not None:
        return f"it was {approval.status} before, by {approval.decided_by!r}{at}"
    if approval.status is ApprovalStatus.EXPIRED:
        return f"it expired at {_moment(approval.expires_at)}"
    return f"its run stopped waiting for it{at}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
