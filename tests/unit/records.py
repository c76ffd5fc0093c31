"""Runs, steps and attempts as they are read back, with the fields that a test does not care for filled in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agentflow.store.reads import RunRecord, StepRecord

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUDGET = {"steps": 50, "attempts": 60, "tool_calls": 40, "tokens": None, "cost_usd": 1.0, "time_s": 900.0}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def a_run(**changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": "01a203c4-30b2-70db-b23c-5b03044fcb4e",
        "tenant": "default",
        "user_id": "ada",
        "agent": "refunds",
        "agent_version": "323970a96391",
        "status": "done",
        "outcome": "complete",
        "current_step": 0,
        "input": "My order 4421 arrived broken.",
        "scratchpad": {},
        "result": "Refunded.",
        "error": None,
        "conversation_id": None,
        "idempotency_key": "ticket-8821",
        "waiting_reason": None,
        "stop_requested": None,
        "attempts": 2,
        "tool_calls": 1,
        "tokens": 341,
        "cost_usd": Decimal("0.00027"),
        "budget": BUDGET,
        "flags": [],
        "not_before": None,
        "created_at": START,
        "started_at": at(1),
        "deadline_at": None,
        "finished_at": at(11),
    }
    return RunRecord(**{**values, **changes})


def a_try(number: int, status: str, **changes: Any) -> Mapping[str, Any]:
    values = {"attempt": number, "status": status, "error": None, "late_result": None, "latency_ms": None}
    return {**values, "started_at": at(number), "ended_at": at(number + 7), **changes}


def a_step(**changes: Any) -> StepRecord:
    values: dict[str, Any] = {
        "step_index": 0,
        "tool_name": "issue_refund",
        "status": "ok",
        "effect": "keyed",
        "input": {"order_id": "4421"},
        "output": {"refund_id": "r-1"},
        "error": None,
        "attempt": 1,
        "idempotency_key": "refund:4421",
        "business_key": True,
        "queue": "tool.issue_refund",
        "parent_index": None,
        "call_index": None,
        "waiting_reason": None,
        "next_attempt_at": None,
        "created_at": START,
        "finished_at": at(8),
        "tries": [a_try(1, "ok", latency_ms=12.0)],
    }
    return StepRecord(**{**values, **changes})
