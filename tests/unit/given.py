"""Runs and steps as a decision sees them, with the fields that a test does not care for filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.domain.claim import LockedStep
from agentflow.domain.message import ToolCall
from agentflow.domain.run import Run, RunStatus
from agentflow.domain.step import MODEL, Effect, Step, StepStatus


def a_run(**facts: Any) -> Run:
    """A running run of a budget without ceilings, unless told otherwise."""
    known = {"status": RunStatus.RUNNING, "input": "hello", "budget": {"repairs": 2}, **facts}
    return Run(run_id="run-1", tenant="default", agent="refunds", agent_version="1", **known)


def a_step(index: int, tool_name: str, **facts: Any) -> Step:
    """A step that went well, unless told otherwise."""
    known = {"status": StepStatus.OK, "input": {}, **facts}
    return Step(run_id="run-1", step_index=index, tool_name=tool_name, **known)


def a_thought(index: int, *calls: ToolCall, content: str | None = None, **output: Any) -> Step:
    """A model's answer with some tool calls, their arguments read."""
    inputs: list[dict[str, Any]] = [{} for _ in calls]
    known = {"content": content, "tool_calls": list(calls), "inputs": inputs, "errors": {}, **output}
    return a_step(index, MODEL, output=known)


def a_call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    """One call as a model asks for it."""
    return {"id": call_id, "name": name, "arguments": arguments}


def a_locked_step(**facts: Any) -> LockedStep:
    """A pending step of a keyed tool, as it is read under its lock."""
    known: Mapping[str, Any] = {
        "run_id": "run-1",
        "step_index": 1,
        "tenant": "default",
        "tool_name": "refund",
        "input": {},
        "status": StepStatus.PENDING,
        "attempt": 0,
        "idempotency_key": "refund:1",
        "business_key": True,
        "args_hash": b"same",
        "effect": Effect.KEYED,
        "timeout_s": 10.0,
        "queue": "tool.refund",
        "task_name": "step.refund",
        "claim_token": None,
        "worker_id": None,
        "lease_until": None,
        "next_attempt_at": None,
        "quarantined": False,
        "deaths": 0,
    }
    return LockedStep(**{**known, **facts})
