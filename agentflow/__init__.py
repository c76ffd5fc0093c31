"""agentflow: agents that are safe to leave running. The public names, each loaded at its first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentflow.client import Client, RunHandle
    from agentflow.declare.agent import Agent
    from agentflow.declare.budget import Budget
    from agentflow.declare.context import Context
    from agentflow.declare.credential import credential
    from agentflow.declare.delivery import delivery
    from agentflow.declare.fallback import Handoff, Model, Partial
    from agentflow.declare.limits import Breaker, Limits, Rate
    from agentflow.declare.notify import Notify
    from agentflow.declare.pipeline import Pipeline
    from agentflow.declare.question import ask_person
    from agentflow.declare.resource import resource
    from agentflow.declare.tool import tool
    from agentflow.declare.workflow import Workflow
    from agentflow.domain.decision import Compensate, Done, Fail, Next, Wait
    from agentflow.domain.delivery import Delivery
    from agentflow.domain.errors import (
        AgentflowError,
        ApprovalNotFound,
        DeclarationError,
        IdempotencyConflict,
        InterventionRefused,
        InvalidInput,
        RunFailed,
        SubmissionRefused,
        ToolError,
        UnknownAgent,
        UnknownTool,
        WaitTimeout,
    )
    from agentflow.domain.run import Run, RunStatus
    from agentflow.domain.step import Effect, NewStep, Step, StepStatus
    from agentflow.domain.verdict import Happened, NotHappened, Unknown

_HOMES = {
    "agentflow.client": ("Client", "RunHandle"),
    "agentflow.declare.agent": ("Agent",),
    "agentflow.declare.budget": ("Budget",),
    "agentflow.declare.context": ("Context",),
    "agentflow.declare.credential": ("credential",),
    "agentflow.declare.delivery": ("delivery",),
    "agentflow.declare.fallback": ("Handoff", "Model", "Partial"),
    "agentflow.declare.limits": ("Breaker", "Limits", "Rate"),
    "agentflow.declare.notify": ("Notify",),
    "agentflow.declare.pipeline": ("Pipeline",),
    "agentflow.declare.question": ("ask_person",),
    "agentflow.declare.resource": ("resource",),
    "agentflow.declare.tool": ("tool",),
    "agentflow.declare.workflow": ("Workflow",),
    "agentflow.domain.decision": ("Compensate", "Done", "Fail", "Next", "Wait"),
    "agentflow.domain.delivery": ("Delivery",),
    "agentflow.domain.errors": (
        "AgentflowError",
        "ApprovalNotFound",
        "DeclarationError",
        "IdempotencyConflict",
        "InterventionRefused",
        "InvalidInput",
        "RunFailed",
        "SubmissionRefused",
        "ToolError",
        "UnknownAgent",
        "UnknownTool",
        "WaitTimeout",
    ),
    "agentflow.domain.run": ("Run", "RunStatus"),
    "agentflow.domain.step": ("Effect", "NewStep", "Step", "StepStatus"),
    "agentflow.domain.verdict": ("Happened", "NotHappened", "Unknown"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentflowError",
    "ApprovalNotFound",
    "Breaker",
    "Budget",
    "Client",
    "Compensate",
    "Context",
    "DeclarationError",
    "Delivery",
    "Done",
    "Effect",
    "Fail",
    "Handoff",
    "Happened",
    "IdempotencyConflict",
    "InterventionRefused",
    "InvalidInput",
    "Limits",
    "Model",
    "NewStep",
    "Next",
    "NotHappened",
    "Notify",
    "Partial",
    "Pipeline",
    "Rate",
    "Run",
    "RunFailed",
    "RunHandle",
    "RunStatus",
    "Step",
    "StepStatus",
    "SubmissionRefused",
    "ToolError",
    "Unknown",
    "UnknownAgent",
    "UnknownTool",
    "Wait",
    "WaitTimeout",
    "Workflow",
    "ask_person",
    "credential",
    "delivery",
    "resource",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'agentflow' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
