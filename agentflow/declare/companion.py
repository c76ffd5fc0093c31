"""Companions of a tool: functions about one of its calls, which take the call's own arguments by the names they use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from agentflow.declare.context import Context
from agentflow.declare.signature import Signature, place_of
from agentflow.domain.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a companion takes: the context under one name, other things under `names`, in order; and its annotations."""

    context_name: str | None
    names: tuple[str, ...]
    hints: Mapping[str, Any]


def read_parameters(function: Callable[..., Any], what: str) -> Parameters:
    """Return what a companion takes; raise DeclarationError for what cannot be called, by names and at once."""
    place = place_of(function)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise DeclarationError(f"{place}: {what} is no plain function; write a `def` that returns its answer")
    hints = _hints_of(function, what)
    context_name, names = None, []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise DeclarationError(f"{place}: {what} takes {parameter}; name every parameter")
        if hints.get(parameter.name) is Context:
            context_name = parameter.name
        else:
            names.append(parameter.name)
    return Parameters(context_name, tuple(names), hints)


def check_names(function: Callable[..., Any], what: str, names: tuple[str, ...], signature: Signature) -> None:
    """Raise DeclarationError for a name that is none of the call's own arguments."""
    known = signature.arguments.model_fields
    for name in names:
        if name not in known:
            taken = ", ".join(known) or "none"
            raise DeclarationError(
                f"{place_of(function)}: {what} takes {name!r}; the call's own arguments are {taken}, and a context is "
                "annotated `ctx: Context`"
            )


def named(names: tuple[str, ...], parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a call's parsed arguments those that a companion names."""
    return {name: parsed[name] for name in names if name in parsed}


def _hints_of(function: Callable[..., Any], what: str) -> Mapping[str, Any]:
    try:
        # An object that is called has no annotations that could be read.
        return get_type_hints(function, include_extras=True) if inspect.isroutine(function) else {}
    except Exception as error:
        raise DeclarationError(f"{place_of(function)}: the annotations of {what} do not resolve: {error}") from error
