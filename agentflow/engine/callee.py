"""What a tool's step calls: the tool itself, its verification, or its compensation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from agentflow.declare.context import Context
from agentflow.declare.declaration import Declaration
from agentflow.declare.tool import Tool
from agentflow.domain.claim import LockedStep
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.quoting import quoted
from agentflow.domain.step import CLEARING, COMPENSATE, VERIFY
from agentflow.domain.verdict import Happened, NotHappened, Unknown

Call = Callable[[Context], Any]


def tool_of(declaration: Declaration, step: LockedStep) -> Tool[Any, Any] | None:
    """Return the tool that a step belongs to; None for one that this process does not have, or cannot do that with."""
    name = step.subject_tool if step.tool_name in CLEARING else step.tool_name
    tool = declaration.tools.get(name or "")
    if tool is None or (step.tool_name == VERIFY and tool.verifier is None):
        return None
    if step.tool_name == COMPENSATE and tool.compensator is None:
        return None
    return tool


def call_of(tool: Tool[Any, Any], step: LockedStep) -> Call:
    """Return what a step calls, with its stored arguments and result; raise ValueError for those that do not fit."""
    if step.tool_name not in CLEARING:
        return partial(_call, tool, tool.signature.parse(step.input))
    parsed = tool.signature.parse(step.input["arguments"], defaults=True)
    if step.tool_name == VERIFY:
        assert tool.verifier is not None
        return partial(_verify, tool, parsed)
    assert tool.compensator is not None
    return partial(_compensate, tool, tool.compensator.parse_result(step.input["result"]), parsed)


def as_json(tool: Tool[Any, Any], step: LockedStep, returned: Any) -> Any:
    """Return what a call gave as JSON data; raise PayloadRefused for what is none, or is no verdict."""
    if step.tool_name == COMPENSATE and tool.compensator is not None:
        return tool.compensator.as_json(returned)
    if step.tool_name != VERIFY:
        return tool.as_json(returned)
    match returned:
        case Happened(result):
            return {"verdict": "happened", "result": tool.as_json(result)}
        case NotHappened():
            return {"verdict": "not_happened"}
        case Unknown(str(reason)):
            return {"verdict": "unknown", "reason": reason}
    said = quoted(returned)
    raise PayloadRefused(f"the verifier answered {said}; answer Happened(result), NotHappened() or Unknown()")


def _call(tool: Tool[Any, Any], parsed: Any, context: Context) -> Any:
    return tool.call(context, parsed)


def _verify(tool: Tool[Any, Any], parsed: Any, context: Context) -> Any:
    assert tool.verifier is not None
    return tool.verifier.call(context, parsed)


def _compensate(tool: Tool[Any, Any], result: Any, parsed: Any, context: Context) -> Any:
    assert tool.compensator is not None
    return tool.compensator.call(context, result, parsed)
