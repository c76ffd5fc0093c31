"""Approvals at the claim: a step that wants a person waits, may be called, or ends without a call."""

from __future__ import annotations

from datetime import datetime

from agentflow.domain.approval import Approval, ApprovalKind, ApprovalStatus
from agentflow.domain.claim import LockedStep, Refused
from agentflow.domain.run import Run
from agentflow.domain.step import StepStatus
from agentflow.domain.waiting import Person
from agentflow.policy.approval import Unapproved, refuse_unapproved
from agentflow.store import approvals, runs, steps
from agentflow.store.database import Transaction


def check_approval(tx: Transaction, step: LockedStep, now: datetime) -> Refused | None:
    """Return why a locked step may not be called without a person's word; None where it may, which uses the word."""
    if step.person is None:
        return None
    approval = approvals.of_step(tx, step.run_id, step.step_index)
    refusal = refuse_unapproved(step, approval, now)
    if refusal is None and approval is not None:
        approvals.use(tx, approval.approval_id)
    return refusal


def settle_unapproved(tx: Transaction, run: Run, step: LockedStep, refusal: Refused) -> None:
    """End a locked step that may never be called: skipped, or in error for a question that nobody answered."""
    approval = approvals.of_step(tx, step.run_id, step.step_index)
    why = Unapproved(refusal.detail)
    if approval is not None and approval.status is ApprovalStatus.PENDING:
        ended = ApprovalStatus.EXPIRED if why is Unapproved.EXPIRED else ApprovalStatus.CLOSED
        approvals.decide(tx, approval.approval_id, ended)
    is_question = step.person == Person.QUESTION
    error = {"kind": why.value, "message": _message(step, approval, why), "happened": False}
    steps.settle_unclaimed(tx, step, StepStatus.ERROR if is_question else StepStatus.SKIPPED, error=error)
    runs.note_settled(tx, run, step.step_index)


def rejection_of(approval: Approval) -> str:
    """Return what a rejection says to whoever asked."""
    why = f": {approval.reason}" if approval.reason else ", and gave no reason"
    if approval.kind is ApprovalKind.UNDO:
        return f"{approval.decided_by!r} wants what the run did to stay{why}"
    return f"{approval.decided_by!r} rejected {approval.tool!r}{why}; it was not called"


def _message(step: LockedStep, approval: Approval | None, why: Unapproved) -> str:
    if approval is None or why is Unapproved.MISSING:
        return f"nobody was asked whether {step.tool_name!r} may be called; it was not"
    match why:
        case Unapproved.REJECTED:
            return rejection_of(approval)
        case Unapproved.EXPIRED:
            return f"{_unsaid(approval)} by {approval.expires_at:%Y-%m-%d %H:%M:%S %Z}"
        case _:
            return f"{step.tool_name!r} was approved for other arguments than these; it was not called"


def _unsaid(approval: Approval) -> str:
    match approval.kind:
        case ApprovalKind.CALL:
            return f"{approval.tool!r} was not called: nobody approved it"
        case ApprovalKind.QUESTION:
            return "nobody answered the question"
        case ApprovalKind.UNDO:
            return "what the run did stays: nobody said whether it shall be undone"
