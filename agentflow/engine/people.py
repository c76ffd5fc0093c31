"""What people say about steps that wait for them: approve, reject, answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentflow.domain import payload
from agentflow.domain.approval import Approval, ApprovalKind, ApprovalStatus
from agentflow.domain.claim import LockedStep
from agentflow.domain.errors import ApprovalNotFound, InterventionRefused, PayloadRefused
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.run import Run
from agentflow.domain.step import StepStatus
from agentflow.engine.approving import rejection_of
from agentflow.engine.standing import settle_standing
from agentflow.policy.approval import Unapproved, refuse_decision
from agentflow.policy.person import checked_name, checked_reason
from agentflow.store import approvals, interventions, runs, steps
from agentflow.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person decided, and the hints that it makes necessary."""

    approval: Approval
    hints: Sequence[Hint]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a person decides on, with its run and its step, all locked in this order."""

    run: Run
    step: LockedStep
    approval: Approval
    now: datetime


def approve(
    tx: Transaction, approval_id: str, *, tenant: str, by: str, reason: str | None = None, arguments: Any = None
) -> Decided:
    """Let a call be made, or what a run did be undone.

    `arguments`, where given, must be the very ones that are asked about. Raises ApprovalNotFound, or
    InterventionRefused with the reason; then nothing was changed.
    """
    asked = _asked(tx, approval_id, tenant, ApprovalStatus.APPROVED)
    if arguments is not None and _digest(arguments) != asked.approval.args_hash:
        raise _refused(asked.approval, "the arguments given are not those that are asked about; look at them again")
    decided = _decide(tx, asked, ApprovalStatus.APPROVED, by, reason)
    if decided.kind is ApprovalKind.CALL:
        hint = approvals.release(tx, asked.step)
    else:
        hint = _settle(tx, asked, StepStatus.OK, output={"undo": True})
    settle_standing(tx, asked.run, "approved", asked.step.step_index)
    return Decided(decided, [hint])


def reject(tx: Transaction, approval_id: str, *, tenant: str, by: str, reason: str | None = None) -> Decided:
    """Have a call not be made, or leave what a run did as it is. Raises as `approve` does."""
    asked = _asked(tx, approval_id, tenant, ApprovalStatus.REJECTED)
    decided = _decide(tx, asked, ApprovalStatus.REJECTED, by, reason)
    error = {"kind": Unapproved.REJECTED.value, "message": rejection_of(decided), "happened": False}
    hint = _settle(tx, asked, StepStatus.SKIPPED, error=error)
    settle_standing(tx, asked.run, "rejected", asked.step.step_index)
    return Decided(decided, [hint])


def answer(tx: Transaction, approval_id: str, answer: Any, *, tenant: str, by: str, most_bytes: int) -> Decided:
    """Answer a question by text or JSON data of at most `most_bytes`. Raises as `approve` does."""
    asked = _asked(tx, approval_id, tenant, ApprovalStatus.ANSWERED)
    value = _checked_answer(asked.approval, answer, most_bytes)
    decided = _decide(tx, asked, ApprovalStatus.ANSWERED, by, None, value)
    hint = _settle(tx, asked, StepStatus.OK, output=value)
    settle_standing(tx, asked.run, "answered", asked.step.step_index)
    return Decided(decided, [hint])


def _asked(tx: Transaction, approval_id: str, tenant: str, wanted: ApprovalStatus) -> _Asked:
    """Lock what is decided on; raise where there is no such thing, or where it cannot be decided so any more."""
    seen = approvals.read(tx, approval_id)
    if seen is None or seen.tenant != tenant:
        raise ApprovalNotFound(
            f"there is no approval {approval_id!r}; `agentflow approvals list` shows those there are"
        )
    locked = runs.lock(tx, seen.run_id)
    step = steps.lock(tx, seen.run_id, seen.step_index)
    approval = approvals.lock(tx, approval_id)
    assert locked is not None and step is not None and approval is not None  # noqa: PT018 - no row of these is deleted alone
    run, now = locked
    if refusal := _refuse_kind(approval, wanted) or refuse_decision(run, approval, now):
        raise _refused(approval, refusal)
    return _Asked(run, step, approval, now)


def _refuse_kind(approval: Approval, wanted: ApprovalStatus) -> str | None:
    is_question = approval.kind is ApprovalKind.QUESTION
    if is_question and wanted is not ApprovalStatus.ANSWERED:
        return "it is a question: answer it"
    if not is_question and wanted is ApprovalStatus.ANSWERED:
        return "it is no question: approve or reject it"
    return None


def _decide(
    tx: Transaction, asked: _Asked, status: ApprovalStatus, by: str, reason: str | None, answer: Any = None
) -> Approval:
    who, why = checked_name(by), checked_reason(reason)
    step = asked.step
    interventions.note(
        tx,
        tenant=step.tenant,
        run_id=step.run_id,
        step_index=step.step_index,
        act=status.value,
        by=who,
        reason=why,
        details={"approval_id": asked.approval.approval_id, "kind": asked.approval.kind.value, "tool": step.tool_name},
    )
    return approvals.decide(tx, asked.approval.approval_id, status, by=who, reason=why, answer=answer)


def _settle(tx: Transaction, asked: _Asked, status: StepStatus, *, output: Any = None, error: Any = None) -> Hint:
    steps.settle_unclaimed(tx, asked.step, status, output=output, error=error)
    runs.note_settled(tx, asked.run, asked.step.step_index)
    return advance_hint(asked.run.run_id, asked.run.queue)


def _checked_answer(approval: Approval, answer: Any, most_bytes: int) -> Any:
    try:
        value = payload.sanitise(answer).value
    except PayloadRefused as error:
        raise _refused(approval, f"the answer cannot be stored: {error}") from error
    if value is None or (isinstance(value, str) and not value.strip()):
        raise _refused(approval, "the answer is empty; say something")
    size = len(payload.dumps(value).encode())
    if size > most_bytes:
        raise _refused(approval, f"the answer is {size} bytes; the limit is {most_bytes} (AGENTFLOW_MAX_INPUT_BYTES)")
    return value


def _digest(arguments: Any) -> bytes | None:
    try:
        return payload.digest(payload.sanitise(arguments).value)
    except PayloadRefused:
        return None


def _refused(approval: Approval, why: str) -> InterventionRefused:
    what = "the question" if approval.kind is ApprovalKind.QUESTION else f"the approval of {approval.tool!r}"
    return InterventionRefused(f"{what} ({approval.approval_id}): {why}; nothing was changed")
