"""Approvals and questions in Postgres: what people are asked, what they said, and whether it was relied on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain import payload
from agentflow.domain.approval import Approval, ApprovalKind, ApprovalStatus
from agentflow.domain.claim import LockedStep
from agentflow.domain.hint import Hint
from agentflow.domain.step import APPROVAL
from agentflow.domain.waiting import Person
from agentflow.store.database import Row, Transaction
from agentflow.store.steps import PlannedStep


def ask(tx: Transaction, planned: Sequence[PlannedStep]) -> None:
    """Ask a person about each of these steps that wants one; they have just been added to their locked run."""
    rows = [
        {
            # Not by time: the first digits have to tell one from the others, as people type no more.
            "approval_id": str(uuid.uuid4()),
            "run_id": step.run_id,
            "step_index": step.step_index,
            "kind": kind_of(step),
            "asked": payload.dumps(_asked(step)),
        }
        for step in planned
        if step.person is not None
    ]
    tx.write_each("insert_approval", rows)


def ask_again(tx: Transaction, run_id: str) -> int:
    """Ask anew about the pending steps of a locked, reopened run that nobody has approved; return how many."""
    return tx.run("ask_again", run_id=run_id)


def read(tx: Transaction, approval_id: str) -> Approval | None:
    """Return what a person is asked, without a lock; None where nothing has this id."""
    row = tx.row("read_approval", approval_id=approval_id)
    return _approval_of(row) if row else None


def lock(tx: Transaction, approval_id: str) -> Approval | None:
    """Lock what a person is asked, after its run and its step."""
    row = tx.row("lock_approval", approval_id=approval_id)
    return _approval_of(row) if row else None


def of_step(tx: Transaction, run_id: str, step_index: int) -> Approval | None:
    """Lock what a person is asked about a locked step; None where nobody is."""
    row = tx.row("lock_approval_of_step", run_id=run_id, step_index=step_index)
    return _approval_of(row) if row else None


def decide(
    tx: Transaction,
    approval_id: str,
    status: ApprovalStatus,
    *,
    by: str | None = None,
    reason: str | None = None,
    answer: Any = None,
) -> Approval:
    """Write what became of a locked, pending approval, and return it."""
    row = tx.row(
        "decide_approval",
        approval_id=approval_id,
        status=status,
        decided_by=by,
        reason=reason,
        answer=payload.dumps(answer) if status is ApprovalStatus.ANSWERED else None,
    )
    assert row is not None
    return _approval_of(row)


def use(tx: Transaction, approval_id: str) -> None:
    """Note that a claim relies on an approval; of several attempts at its step, the first counts."""
    tx.write("use_approval", approval_id=approval_id)


def close(tx: Transaction, run_id: str) -> None:
    """Close what a locked run asks of people about steps that were skipped or have ended; return how many that were."""
    tx.write("close_approvals", run_id=run_id)


def release(tx: Transaction, step: LockedStep) -> Hint:
    """Make a locked step due that a person has approved, and return its hint."""
    tx.write("release_approved", run_id=step.run_id, step_index=step.step_index)
    return Hint(step.task_name, step.queue, step.run_id, step.step_index)


def between(tx: Transaction, tenant: str, first: str, last: str) -> Sequence[str]:
    """Return the ids of a tenant's approvals that lie between two, two of them at most."""
    rows = tx.rows("approvals_between", tenant=tenant, first=first, last=last)
    return [str(row["approval_id"]) for row in rows]


def listing(
    tx: Transaction,
    tenant: str,
    *,
    approval_id: str | None = None,
    run_id: str | None = None,
    status: str | None = None,
    most: int = 50,
) -> Sequence[Row]:
    """Return what people are asked, with its agent and user: the open ones first, the newest first."""
    wanted = {"approval_id": approval_id, "run_id": run_id, "status": status}
    return tx.rows("list_approvals", tenant=tenant, most=most, **wanted)


def kind_of(step: PlannedStep) -> ApprovalKind:
    """Return what a person is asked about a step."""
    if step.tool_name == APPROVAL:
        return ApprovalKind.UNDO
    return ApprovalKind.QUESTION if step.person == Person.QUESTION else ApprovalKind.CALL


def _asked(step: PlannedStep) -> Any:
    return step.input["question"] if kind_of(step) is ApprovalKind.QUESTION else step.input


def _approval_of(row: Mapping[str, Any]) -> Approval:
    return Approval(
        approval_id=str(row["approval_id"]),
        tenant=row["tenant"],
        run_id=str(row["run_id"]),
        step_index=row["step_index"],
        kind=ApprovalKind(row["kind"]),
        tool=row["tool"],
        args_hash=bytes(row["args_hash"]),
        asked=row["asked"],
        status=ApprovalStatus(row["status"]),
        asked_at=row["asked_at"],
        expires_at=row["expires_at"],
        decided_at=row["decided_at"],
        decided_by=row["decided_by"],
        reason=row["reason"],
        answer=row["answer"],
        used_at=row["used_at"],
    )
