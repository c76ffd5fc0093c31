"""Pipelines: a fixed row of tools, each fed from what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.declare.budget import Budget
from agentflow.declare.declaration import COORDINATOR_QUEUE, Declaration
from agentflow.declare.fallback import Fail, Fallback
from agentflow.declare.tool import Tool
from agentflow.domain.decision import Decision
from agentflow.domain.errors import DeclarationError
from agentflow.domain.run import OnFailure, Run
from agentflow.domain.step import Step
from agentflow.policy.pipeline import Stage, decide_pipeline


class Pipeline(Declaration):
    """Tools in a row.

    A parameter takes, by its name, the output of the earlier tool of that name, else the field of that name in the
    run's input. One parameter that is named like neither takes the output of the tool before (in the first tool, the
    whole input). The last tool's output is the run's result; a tool that fails ends the run, and what the tools before
    it did is undone, unless `on_failure` says otherwise.
    """

    kind = "pipeline"
    decides_at_once = True
    default_on_failure = OnFailure.COMPENSATE

    def __init__(
        self,
        name: str,
        tools: Sequence[Tool[Any, Any]],
        *,
        input: Any = None,
        budget: Budget | None = None,
        fallback: Fallback | Fail | None = None,
        on_failure: str | None = None,
        queue: str = COORDINATOR_QUEUE,
    ) -> None:
        super().__init__(
            name, tools=tools, input=input, budget=budget, fallback=fallback, on_failure=on_failure, queue=queue
        )
        if not tools:
            raise DeclarationError(f"{self.place}: Pipeline {name!r} has no tools; give at least one")
        self._stages = tuple(_stage_of(tool) for tool in tools)
        self._check_feeds()

    def decide(self, run: Run, history: Sequence[Step]) -> Decision:
        """Answer which tool comes next."""
        return decide_pipeline(run, history, self._stages)

    def described(self) -> dict[str, Any]:
        """Return what makes this version of the pipeline what it is."""
        return {"stages": [stage.tool_name for stage in self._stages]}

    def _check_feeds(self) -> None:
        known = set(self.input_schema.get("properties", {}))
        if not known:
            return
        earlier: set[str] = set()
        for stage in self._stages:
            unfed = [name for name in stage.required if name not in earlier | known]
            if len(unfed) > 1:
                raise DeclarationError(
                    f"{self.place}: in Pipeline {self.name!r} nothing feeds {', '.join(map(repr, unfed))} of "
                    f"{stage.tool_name!r}; name them like a field of the input or an earlier tool"
                )
            earlier.add(stage.tool_name)


def _stage_of(tool: Tool[Any, Any]) -> Stage:
    fields = tool.signature.arguments.model_fields
    required = tuple(name for name, field in fields.items() if field.is_required())
    return Stage(tool.name, tuple(fields), required)
