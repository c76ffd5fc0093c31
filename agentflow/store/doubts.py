"""Steps in doubt in Postgres: how a doubt ends, and what is known from records that came too late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import LockedStep
from agentflow.domain.step import StepStatus
from agentflow.policy.undoing import UNKNOWN
from agentflow.store.database import Transaction
from agentflow.store.steps import check_transition, stored


def settle(
    tx: Transaction,
    step: LockedStep,
    status: StepStatus,
    *,
    output: Any = None,
    error: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
    noted: Mapping[str, Any] | None = None,
) -> None:
    """End a locked step that is in doubt, by what was found out since its attempt."""
    check_transition(step, status)
    tx.write(
        "settle_doubt",
        run_id=step.run_id,
        step_index=step.step_index,
        status=status,
        output=payload.dumps(output) if status is StepStatus.OK else None,
        error=stored(error),
        flags=list(flags),
        noted=stored(noted),
    )


def try_again(tx: Transaction, step: LockedStep, error: Mapping[str, Any], reason: str, after_s: float) -> None:
    """Let a locked step that is in doubt be tried again in `after_s` seconds: it certainly did not happen."""
    check_transition(step, StepStatus.PENDING)
    where = {"run_id": step.run_id, "step_index": step.step_index}
    tx.write("retry_doubtful", error=payload.dumps(error), reason=reason, after_s=after_s, **where)


def leave_to_person(tx: Transaction, step: LockedStep, error: Mapping[str, Any]) -> None:
    """Let a person say what became of a locked step that is in doubt."""
    tx.write("leave_to_person", run_id=step.run_id, step_index=step.step_index, error=payload.dumps(error))


def skip_verification(tx: Transaction, step: LockedStep) -> None:
    """Drop the verification of a step that has its outcome."""
    tx.write("skip_verification", run_id=step.run_id, step_index=step.step_index)


def late_outputs(tx: Transaction, run_id: str) -> Mapping[int, Any]:
    """Return what steps gave whose records came too late, by their index; UNKNOWN where only that they happened."""
    late: dict[int, Any] = {}
    for row in tx.rows("late_results", run_id=run_id):
        index, result = row["step_index"], row["late_result"]
        if "output" in result:
            late[index] = result["output"]
        elif (result.get("error") or {}).get("happened") is True:
            late.setdefault(index, UNKNOWN)
    return late
