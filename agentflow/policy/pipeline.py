"""The coordinator of a Pipeline: one tool after the other, each fed by name from what came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain.decision import Decision, Done, Fail, Next, Wait
from agentflow.domain.run import Run
from agentflow.domain.step import NewStep, Step, StepStatus


@dataclass(frozen=True, slots=True)
class Stage:
    """One tool of a pipeline and its parameters' names."""

    tool_name: str
    parameters: tuple[str, ...]
    required: tuple[str, ...]


def decide_pipeline(run: Run, history: Sequence[Step], stages: Sequence[Stage]) -> Decision:
    """Answer which stage comes next: the one after the furthest that the history has.

    The history may be that of an earlier version, with fewer stages or with others. What it has is not done again.
    """
    if history and history[-1].is_open:
        return Wait()
    if history and history[-1].status is not StepStatus.OK:
        error = history[-1].error or {}
        return Fail("tool_failed", f"{history[-1].tool_name}: {error.get('message', 'failed')}", history[-1].step_index)
    outputs = {step.tool_name: step.output for step in history}
    come_to = max((number for number, stage in enumerate(stages, 1) if stage.tool_name in outputs), default=0)
    if come_to == len(stages):
        return Done(outputs[stages[-1].tool_name])
    stage = stages[come_to]
    return Next([NewStep(stage.tool_name, feed(stage, run.input, history))])


def feed(stage: Stage, run_input: Any, history: Sequence[Step]) -> Mapping[str, Any]:
    """Return a stage's arguments: by name from earlier outputs, then the input; a required one left takes the rest.

    What takes the rest gets the output of the tool before, or in the first stage the whole input.
    """
    outputs = {step.tool_name: step.output for step in history}
    fields = run_input if isinstance(run_input, Mapping) else {}
    arguments = {
        name: outputs[name] if name in outputs else fields[name]
        for name in stage.parameters
        if name in outputs or name in fields
    }
    unfed = [name for name in stage.required if name not in arguments]
    if len(unfed) == 1:
        arguments[unfed[0]] = history[-1].output if history else run_input
    return arguments
