"""From rows to values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from agentflow.domain.claim import KeyRecord, LockedStep
from agentflow.domain.run import Ending, Reserved, Run, RunStatus, Spent
from agentflow.domain.step import Effect, Step, StepStatus


def run_of(row: Mapping[str, Any]) -> Run:
    """Return a run's row as a value."""
    return Run(
        run_id=str(row["run_id"]),
        tenant=row["tenant"],
        agent=row["agent"],
        agent_version=row["agent_version"],
        status=RunStatus(row["status"]),
        input=row["input_payload"],
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        scratchpad=row["scratchpad"],
        budget=row["budget"],
        spent=Spent(row["spent_attempts"], row["spent_tool_calls"], row["spent_tokens"], row["spent_cost_usd"]),
        reserved=Reserved(row["reserved_tokens"], row["reserved_cost_usd"]),
        version=row["version"],
        current_step=row["current_step"],
        deadline_at=row["deadline_at"],
        created_at=row["created_at"],
        stop_requested=row["stop_requested"],
        pause_requested=row["pause_requested"],
        waiting_reason=row["waiting_reason"],
        queue=row["queue"],
        fallback=row["fallback"],
        on_failure=row["on_failure"],
        ending=ending_of(row["ending"]),
        compensation=row["compensation"],
        overrides=row["overrides"] or {},
        forked_from=_id_of(row["forked_from"]),
        notify=row["notify"] or {},
    )


def run_again(run: Run, row: Mapping[str, Any]) -> Run:
    """Return a run as it is by now, from what may have changed of it."""
    return replace(
        run,
        status=RunStatus(row["status"]),
        version=row["version"],
        current_step=row["current_step"],
        scratchpad=row["scratchpad"],
        budget=row["budget"],
        spent=Spent(row["spent_attempts"], row["spent_tool_calls"], row["spent_tokens"], row["spent_cost_usd"]),
        reserved=Reserved(row["reserved_tokens"], row["reserved_cost_usd"]),
        waiting_reason=row["waiting_reason"],
        stop_requested=row["stop_requested"],
        pause_requested=row["pause_requested"],
        deadline_at=row["deadline_at"],
        ending=ending_of(row["ending"]),
        compensation=row["compensation"],
    )


def step_again(step: LockedStep, row: Mapping[str, Any]) -> LockedStep:
    """Return a claimed step as it is by now, from what may have changed of it."""
    return replace(
        step,
        status=StepStatus(row["s_status"]),
        attempt=row["s_attempt"],
        claim_token=_id_of(row["s_claim_token"]),
        worker_id=_id_of(row["s_worker_id"]),
        lease_until=row["s_lease_until"],
        claimed_at=row["s_claimed_at"],
        next_attempt_at=row["s_next_attempt_at"],
        waiting_reason=row["s_waiting_reason"],
        error=row["s_error"],
        unconfirmed=row["s_unconfirmed"],
        quarantined=row["s_quarantined"],
        deaths=row["s_deaths"],
        reserved=Reserved(row["s_reserved_tokens"], row["s_reserved_cost_usd"]),
        key_generation=row["s_key_generation"],
    )


def step_of(row: Mapping[str, Any]) -> Step:
    """Return a step's row as a decision sees it."""
    return Step(
        run_id=str(row["run_id"]),
        step_index=row["step_index"],
        tool_name=row["tool_name"],
        status=StepStatus(row["status"]),
        input=row["tool_input"],
        output=row["tool_output"],
        error=row["error"],
        parent_index=row["parent_index"],
        call_index=row["call_index"],
        attempt=row["attempt"],
        idempotency_key=row["idempotency_key"],
        waiting_reason=row["waiting_reason"],
        next_attempt_at=_moment_of(row["next_attempt_at"]),
        effect=Effect(row["effect"]),
        subject_index=row["subject_index"],
        subject_tool=row["subject_tool"],
        noted=row["noted"],
        key_generation=row["key_generation"],
    )


def ending_of(stored: Mapping[str, Any] | None) -> Ending | None:
    """Return how a run will end; None where nothing is decided."""
    return None if stored is None else Ending(**{**stored, "status": RunStatus(stored["status"])})


def locked_step_of(row: Mapping[str, Any]) -> LockedStep:
    """Return a locked step's row with its fence."""
    return LockedStep(
        run_id=str(row["run_id"]),
        step_index=row["step_index"],
        tenant=row["tenant"],
        tool_name=row["tool_name"],
        input=row["tool_input"],
        status=StepStatus(row["status"]),
        attempt=row["attempt"],
        idempotency_key=row["idempotency_key"],
        business_key=row["business_key"],
        args_hash=bytes(row["args_hash"]),
        effect=Effect(row["effect"]),
        timeout_s=row["timeout_s"],
        queue=row["queue"],
        task_name=row["task_name"],
        claim_token=_id_of(row["claim_token"]),
        worker_id=_id_of(row["worker_id"]),
        lease_until=row["lease_until"],
        next_attempt_at=row["next_attempt_at"],
        quarantined=row["quarantined"],
        deaths=row["deaths"],
        claimed_at=row["claimed_at"],
        bulkhead=row["bulkhead"],
        reserved=Reserved(row["reserved_tokens"], row["reserved_cost_usd"]),
        error=row["error"],
        waiting_reason=row["waiting_reason"],
        subject_index=row["subject_index"],
        subject_tool=row["subject_tool"],
        person=row["person"],
        settle_s=row["settle_s"],
        verify_after=row["verify_after"],
        unconfirmed=row["unconfirmed"],
        key_generation=row["key_generation"],
    )


def key_of(row: Mapping[str, Any]) -> KeyRecord:
    """Return an idempotency record's row as a value."""
    return KeyRecord(
        str(row["run_id"]),
        row["step_index"],
        bytes(row["args_hash"]),
        row["status"],
        row["output"],
        row["generation"],
    )


def _moment_of(value: datetime | str | None) -> datetime | None:
    """Return a moment; where its row came as JSON, it is text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _id_of(value: Any) -> str | None:
    return None if value is None else str(value)
