"""From a decision to rows: each new step gets its queue, its class, its key."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.declare.agent import Agent
from agentflow.declare.declaration import Declaration
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
        business_key, bulkhead = None, declaration.bulkhead
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
    )
