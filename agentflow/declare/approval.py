"""Approval: whether a call waits for a person's word, always or by its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.declare.companion import check_names, named, read_parameters
from agentflow.declare.signature import Signature, place_of
from agentflow.domain.errors import DeclarationError

Approval = bool | Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Predicate:
    """Says of a call's own arguments, those it names, whether somebody has to approve the call."""

    function: Callable[..., bool]
    names: tuple[str, ...]

    def holds(self, parsed: Mapping[str, Any]) -> bool:
        """Return whether a call with these arguments needs approval; raise TypeError where that is no answer."""
        answer = self.function(**named(self.names, parsed))
        # A forgotten `return` must not wave calls through.
        if not isinstance(answer, bool):
            raise TypeError(f"it answered {answer!r}; answer True or False")
        return answer


def read_predicate(approval: Approval, tool: str, signature: Signature) -> Predicate | None:
    """Return the predicate of a tool's approval, None where it is plain; raise DeclarationError for what is none."""
    if isinstance(approval, bool):
        return None
    what = f"the approval of {tool!r}"
    takes = read_parameters(approval, what)
    if takes.context_name is not None:
        raise DeclarationError(
            f"{place_of(approval)}: {what} takes a Context, but is asked before there is a call; it takes the call's "
            "own arguments alone"
        )
    check_names(approval, what, takes.names, signature)
    return Predicate(approval, takes.names)
