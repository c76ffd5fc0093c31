"""The coordinator of an Agent: model, tools side by side, model again, until there is an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.domain.decision import Decision, Done, Fail, Next, Wait
from agentflow.domain.run import Outcome, Run
from agentflow.domain.step import MODEL, NewStep, Step, StepStatus


@dataclass(frozen=True, slots=True)
class AgentRules:
    """What the loop has to know of an agent: its first message, which tools end a run and how, which fail it."""

    first_message: Callable[[Any], str]
    ends_run: Mapping[str, Outcome]
    fails_run: frozenset[str]


def decide_agent(run: Run, history: Sequence[Step], rules: AgentRules) -> Decision:
    """Answer what comes next in an agent's run."""
    thoughts = [step for step in history if step.tool_name == MODEL]
    if not thoughts:
        return Next([NewStep(MODEL, {"message": rules.first_message(run.input)})])
    if any(step.is_open for step in history):
        return Wait()
    thought = thoughts[-1]
    if thought.status is not StepStatus.OK:
        return _failed(thought, "model_failed")
    answer: Mapping[str, Any] = thought.output
    if answer["tool_calls"]:
        return _after_tool_calls(run, history, thought, rules)
    if answer.get("result_error"):
        return _after_unusable(run, thoughts, {"message": answer["result_error"]})
    return Done(answer["result"])


def _after_tool_calls(run: Run, history: Sequence[Step], thought: Step, rules: AgentRules) -> Decision:
    acted = {step.call_index: step for step in history if step.parent_index == thought.step_index}
    inputs = thought.output["inputs"]
    missing = [index for index, given in enumerate(inputs) if given is not None and index not in acted]
    if missing:
        calls = thought.output["tool_calls"]
        return Next([NewStep(calls[i]["name"], inputs[i], thought.step_index, i) for i in missing])
    for step in acted.values():
        if step.status is StepStatus.ERROR and step.tool_name in rules.fails_run:
            return _failed(step, "tool_failed")
        if step.status is StepStatus.OK and step.tool_name in rules.ends_run:
            return Done(step.output, rules.ends_run[step.tool_name])
    if None in inputs:
        return _after_unusable(run, [step for step in history if step.tool_name == MODEL], {})
    return Next([NewStep(MODEL, {})])


def _after_unusable(run: Run, thoughts: Sequence[Step], input: Mapping[str, Any]) -> Decision:
    unusable = [step for step in thoughts if step.output.get("result_error") or None in step.output["inputs"]]
    allowed = run.budget["repairs"]
    if len(unusable) > allowed:
        message = f"the model gave {len(unusable)} answers that cannot be used; {allowed} repairs are allowed"
        return Fail("malformed_answers", message, thoughts[-1].step_index)
    return Next([NewStep(MODEL, input)])


def _failed(step: Step, reason: str) -> Fail:
    error = step.error or {}
    return Fail(reason, f"{step.tool_name}: {error.get('message', 'failed')}", step.step_index)
