"""How a run ends that would pass a ceiling: failed, handed to a person, or with what there is of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.domain.decision import Done, Fail
from agentflow.domain.run import Outcome, Run
from agentflow.domain.step import MODEL, RESERVED_TOOL_NAMES, Step, StepStatus

# The ceilings of time and of repairs go by names of their own.
_CEILINGS = frozenset({"deadline", "malformed_answers"})


def fall_back(run: Run, history: Sequence[Step], fail: Fail) -> Done | Fail:
    """Return how a run ends by its declared fallback; what fails for another reason than a ceiling stays failed."""
    if not (fail.reason.startswith("budget_") or fail.reason in _CEILINGS):
        return fail
    why = {"kind": fail.reason, "message": fail.message, "step_index": fail.step_index}
    match run.fallback:
        case Outcome.HANDOFF:
            return Done(None, Outcome.HANDOFF, why)
        case Outcome.PARTIAL:
            return Done(partial_result(history), Outcome.PARTIAL, why)
        case _:
            return fail


def partial_result(history: Sequence[Step]) -> Any:
    """Return what there is of a result, None where nothing is.

    Of an agent it is the last text of its model, else what its tools answered: by name a list in the order of the
    calls. Of a pipeline or a workflow it is the last output.
    """
    done = [step for step in history if step.status is StepStatus.OK]
    tools = [step for step in done if step.tool_name not in RESERVED_TOOL_NAMES]
    if all(step.tool_name != MODEL for step in history):
        return tools[-1].output if tools else None
    texts = [step.output["content"] for step in done if step.tool_name == MODEL and step.output.get("content")]
    return texts[-1] if texts else _outputs(tools) or None


def _outputs(tools: Sequence[Step]) -> dict[str, list[Any]]:
    outputs: dict[str, list[Any]] = {}
    for step in tools:
        outputs.setdefault(step.tool_name, []).append(step.output)
    return outputs
