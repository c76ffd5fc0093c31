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
    from agentflow.declare.fallback import Handoff, Model, Partial
    from agentflow.declare.limits import Breaker, Limits, Rate
    from agentflow.declare.pipeline import Pipeline
    from agentflow.declare.resource import resource
    from agentflow.declare.tool import tool
    from agentflow.declare.workflow import Workflow
    from agentflow.domain.decision import Done, Fail, Next, Wait
    from agentflow.domain.errors import (
        AgentflowError,
        DeclarationError,
        IdempotencyConflict,
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

_HOMES = {
    "agentflow.client": ("Client", "RunHandle"),
    "agentflow.declare.agent": ("Agent",),
    "agentflow.declare.budget": ("Budget",),
    "agentflow.declare.context": ("Context",),
    "agentflow.declare.credential": ("credential",),
    "agentflow.declare.fallback": ("Handoff", "Model", "Partial"),
    "agentflow.declare.limits": ("Breaker", "Limits", "Rate"),
    "agentflow.declare.pipeline": ("Pipeline",),
    "agentflow.declare.resource": ("resource",),
    "agentflow.declare.tool": ("tool",),
    "agentflow.declare.workflow": ("Workflow",),
    "agentflow.domain.decision": ("Done", "Fail", "Next", "Wait"),
    "agentflow.domain.errors": (
        "AgentflowError",
        "DeclarationError",
        "IdempotencyConflict",
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
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentflowError",
    "Breaker",
    "Budget",
    "Client",
    "Context",
    "DeclarationError",
    "Done",
    "Effect",
    "Fail",
    "Handoff",
    "IdempotencyConflict",
    "InvalidInput",
    "Limits",
    "Model",
    "NewStep",
    "Next",
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
    "UnknownAgent",
    "UnknownTool",
    "Wait",
    "WaitTimeout",
    "Workflow",
    "credential",
    "resource",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'agentflow' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
