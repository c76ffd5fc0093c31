"""Assumptions: what a declaration leaves open, what is taken for true then, and what to write to settle it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agentflow.declare.declaration import Declaration
from agentflow.declare.signature import place_of
from agentflow.declare.tool import SETTLE_S, Tool
from agentflow.domain.run import OnFailure
from agentflow.domain.step import Effect


class Open(StrEnum):
    """What is left open."""

    NO_APPROVAL = "no_approval"
    NO_COMPENSATION = "no_compensation"
    SETTLE_S = "settle_s"
    VERIFY_AFTER = "verify_after"
    COMPENSATION_EFFECT = "compensation_effect"
    ON_FAILURE = "on_failure"


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing that is assumed. `agent` is None where every agent with the tool has it."""

    kind: Open
    place: str
    agent: str | None
    tool: str
    says: str
    write: str


def open_assumptions(declaration: Declaration) -> Sequence[Assumption]:
    """Return what a declaration and its tools leave open, tool by tool."""
    tools = declaration.tools.values()
    of_tools = [found for tool in tools for rule in _RULES if (found := rule(tool)) is not None]
    return [*of_tools, *_undone_by_default(declaration)]


def _unapproved(tool: Tool[Any, Any]) -> Assumption | None:
    if tool.effect is not Effect.UNSAFE or tool.approval is not False or tool.no_approval is not None:
        return None
    says = "is 'unsafe', so that a person has to end any doubt about a call, and nobody is asked before it is made"
    write = 'approval=True, or a predicate over its arguments, or no_approval="why its calls need nobody\'s word"'
    return _of(tool, Open.NO_APPROVAL, says, write)


def _uncompensated(tool: Tool[Any, Any]) -> Assumption | None:
    if tool.effect is Effect.READ or tool.compensator is not None or tool.no_compensation is not None:
        return None
    says = f"is {str(tool.effect)!r}, and nothing says how to undo a call: what it did stays"
    write = f'@{_variable(tool)}.compensate, or no_compensation="why it cannot, or need not, be undone"'
    return _of(tool, Open.NO_COMPENSATION, says, write)


def _unsettled(tool: Tool[Any, Any]) -> Assumption | None:
    if tool.settle_s is not None or not (tool.effect is Effect.VERIFIED or tool.verify_after):
        return None
    says = f"does not say how late a call may still arrive at the other side: {SETTLE_S:g} s are assumed"
    return _of(tool, Open.SETTLE_S, says, f"settle_s=..., {SETTLE_S:g} to confirm it")


def _unasked(tool: Tool[Any, Any]) -> Assumption | None:
    if tool.verifier is None or tool.effect is Effect.VERIFIED or tool.verify_after:
        return None
    says = f"is {str(tool.effect)!r}, so that its verification is never asked"
    return _of(
        tool, Open.VERIFY_AFTER, says, 'effect="verified" (a doubt is verified), or verify_after=True (each call is)'
    )


def _undone_unsafely(tool: Tool[Any, Any]) -> Assumption | None:
    undo = tool.compensator
    if undo is None or undo.says_effect or undo.effect is not Effect.UNSAFE:
        return None
    says = (
        f"is {str(tool.effect)!r}, so that its compensation is taken for 'unsafe': a doubt about it waits for a person"
    )
    write = f'@{_variable(tool)}.compensate(effect=...): transactional, keyed or idempotent, or "unsafe" to confirm it'
    return Assumption(Open.COMPENSATION_EFFECT, place_of(undo.function), None, tool.name, says, write)


_RULES: Sequence[Callable[[Tool[Any, Any]], Assumption | None]] = (
    _unapproved,
    _uncompensated,
    _unsettled,
    _unasked,
    _undone_unsafely,
)


def _undone_by_default(declaration: Declaration) -> Iterator[Assumption]:
    if declaration.says_on_failure or declaration.on_failure is not OnFailure.COMPENSATE:
        return
    for tool in declaration.tools.values():
        if tool.effect is Effect.UNSAFE:
            says = "is 'unsafe', and what a failed run did is undone by default: that waits while a call is in doubt"
            write = 'on_failure="compensate" to confirm it, "ask" to ask a person first, or "keep"'
            yield Assumption(Open.ON_FAILURE, declaration.place, declaration.name, tool.name, says, write)


def _of(tool: Tool[Any, Any], kind: Open, says: str, write: str) -> Assumption:
    return Assumption(kind, tool.place, None, tool.name, says, write)


def _variable(tool: Tool[Any, Any]) -> str:
    return str(getattr(tool.function, "__name__", tool.name))
