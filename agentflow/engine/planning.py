"""From a decision to rows: each new step gets its queue, its class, its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.declare.agent import Agent
from agentflow.declare.declaration import Declaration
from agentflow.declare.tool import SETTLE_S, Tool
from agentflow.domain import payload
from agentflow.domain.errors import AgentflowError
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, Effect, NewStep
from agentflow.store.steps import PlannedStep

MODEL_TASK = "step.model"


def plan_steps(declaration: Declaration, run: Run, steps: Sequence[NewStep], first_index: int) -> list[PlannedStep]:
    """Return the rows of new steps, numbered from `first_index`; raise ValueError for arguments that do not fit."""
    return [_plan(declaration, run, step, first_index + offset) for offset, step in enumerate(steps)]


def _plan(declaration: Declaration, run: Run, step: NewStep, step_index: int) -> PlannedStep:
    own_key = f"{run.run_id}:{step_index}"
    clean = payload.sanitise(step.input).value
    if step.tool_name == MODEL:
        if not isinstance(declaration, Agent):
            raise AgentflowError(f"{declaration.name!r} asks for a model call; only an Agent has a model")
        task_name, queue, effect, timeout_s = (
            MODEL_TASK,
            declaration.model_queue,
            Effect.READ,
            declaration.model_timeout_s,
        )
        business_key, bulkhead = None, model_bulkhead(declaration, run)
        tool = None
    else:
        tool = declaration.tools[step.tool_name]
        task_name, queue, effect, timeout_s = tool.task_name, tool.queue, tool.effect, tool.timeout_s
        business_key, bulkhead = tool.key_for(clean), tool.name
    return PlannedStep(
        run_id=run.run_id,
        step_index=step_index,
        tenant=run.tenant,
        tool_name=step.tool_name,
        input=clean,
        idempotency_key=business_key or own_key,
        business_key=business_key is not None,
        args_hash=payload.digest(clean),
        agent_version=declaration.version,
        task_name=task_name,
        queue=queue,
        effect=effect,
        timeout_s=timeout_s,
        parent_index=step.parent_index,
        call_index=step.call_index,
        bulkhead=bulkhead,
        **(_aftermath(tool, clean) if tool is not None else {}),
    )


def model_bulkhead(declaration: Agent, run: Run) -> str:
    """Return the bulkhead of a run's model calls: that of the model that a fork was given, else of its agent's."""
    override = run.overrides.get("model")
    return str(override) if override else declaration.bulkhead


def _aftermath(tool: Tool[Any, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a tool's step beforehand: whom it waits for, and how its doubt would end."""
    person = tool.person_for(arguments)
    waiting = {"person": person, "waiting_reason": person, "after_s": tool.expires_s} if person else {}
    if tool.verifier is None:
        return waiting
    settle_s = SETTLE_S if tool.settle_s is None else tool.settle_s
    return {**waiting, "settle_s": settle_s, "verify_after": tool.verify_after}
