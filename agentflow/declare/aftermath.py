"""What may follow a tool's call: asking whether it happened, and undoing it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from agentflow.declare.context import Context
from agentflow.declare.signature import Signature, describe, place_of, uses_attribute
from agentflow.domain.errors import DeclarationError
from agentflow.domain.step import Effect

# What an undoing promises where its tool's own promise is kept by something that it does not have.
_INHERITED = {
    Effect.TRANSACTIONAL: Effect.TRANSACTIONAL,
    Effect.KEYED: Effect.KEYED,
    Effect.IDEMPOTENT: Effect.IDEMPOTENT,
    Effect.VERIFIED: Effect.UNSAFE,
    Effect.UNSAFE: Effect.UNSAFE,
}


@dataclass(frozen=True, slots=True)
class Verifier:
    """Asks whether a call happened; it takes the context and the call's own arguments by name, those it names."""

    function: Callable[..., Any]
    context_name: str | None
    names: tuple[str, ...]

    def call(self, context: Context, parsed: Mapping[str, Any]) -> Any:
        """Ask about a call with these parsed arguments."""
        given = {name: parsed[name] for name in self.names if name in parsed}
        return self.function(**given, **({self.context_name: context} if self.context_name else {}))


@dataclass(frozen=True, slots=True)
class Compensator:
    """Undoes a call. It takes the context, the result, and the call's own arguments by name, those it names.

    `says_effect` tells whether its class is its own word, or follows from its tool's.
    """

    function: Callable[..., Any]
    effect: Effect
    says_effect: bool
    timeout_s: float
    context_name: str | None
    result_name: str
    result_type: TypeAdapter[Any] | None
    takes_none: bool
    names: tuple[str, ...]

    def call(self, context: Context, result: Any, parsed: Mapping[str, Any]) -> Any:
        """Undo a call with this stored result and these parsed arguments; raise ValueError where the result is none."""
        if self.result_type is not None:
            try:
                result = self.result_type.validate_python(result)
            except ValidationError as error:
                raise ValueError(f"the stored result does not fit {self.result_name!r}: {describe(error)}") from error
        given = {name: parsed[name] for name in self.names if name in parsed}
        with_context = {self.context_name: context} if self.context_name else {}
        return self.function(**{self.result_name: result}, **given, **with_context)


def read_verifier(function: Callable[..., Any], tool: str, signature: Signature) -> Verifier:
    """Return a tool's verifier; raise DeclarationError for a parameter that is none of the tool's."""
    context_name, names, _ = _read(function, f"the verifier of {tool!r}")
    _check_names(function, f"the verifier of {tool!r}", names, signature)
    return Verifier(function, context_name, names)


def read_compensator(
    function: Callable[..., Any], tool: str, signature: Signature, effect: Effect, said: str | None, timeout_s: float
) -> Compensator:
    """Return a tool's compensator; raise DeclarationError for what cannot be one."""
    where = f"{place_of(function)}: the compensation of {tool!r}"
    context_name, names, hints = _read(function, f"the compensation of {tool!r}")
    if not names:
        raise DeclarationError(f"{where} takes no result; its first parameter beside the Context is the call's result")
    if effect is Effect.READ:
        raise DeclarationError(f"{where}: {tool!r} is 'read' and changes nothing; there is nothing to undo")
    _check_names(function, f"the compensation of {tool!r}", names[1:], signature)
    own = _effect_of(where, said) if said is not None else _INHERITED[effect]
    if own is Effect.TRANSACTIONAL and context_name is None:
        raise DeclarationError(f"{where} is 'transactional' but takes no Context; add `ctx: Context`")
    if own is Effect.KEYED and not (context_name and uses_attribute(function, context_name, "idempotency_key")):
        raise DeclarationError(
            f"{where} is 'keyed' but never uses its key; send ctx.idempotency_key along, or say effect=... of its own"
        )
    if not 0 < timeout_s < math.inf:
        raise DeclarationError(f"{where}: timeout_s={timeout_s!r}; give seconds above zero")
    result = hints.get(names[0])
    adapter = None if result in {None, Any} else TypeAdapter(result)
    return Compensator(
        function=function,
        effect=own,
        says_effect=said is not None,
        timeout_s=timeout_s,
        context_name=context_name,
        result_name=names[0],
        result_type=adapter,
        takes_none=_takes_none(adapter),
        names=names[1:],
    )


def _effect_of(where: str, said: str) -> Effect:
    known = [Effect.TRANSACTIONAL, Effect.KEYED, Effect.IDEMPOTENT, Effect.UNSAFE]
    if said not in known:
        raise DeclarationError(f"{where}: effect={said!r}; give one of {', '.join(known)}")
    return Effect(said)


def _read(function: Callable[..., Any], what: str) -> tuple[str | None, tuple[str, ...], Mapping[str, Any]]:
    try:
        hints = get_type_hints(function)
    except Exception as error:
        raise DeclarationError(f"{place_of(function)}: the annotations of {what} do not resolve: {error}") from error
    context_name, names = None, []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise DeclarationError(f"{place_of(function)}: {what} takes {parameter}; name every parameter")
        if hints.get(parameter.name) is Context:
            context_name = parameter.name
        else:
            names.append(parameter.name)
    return context_name, tuple(names), hints


def _check_names(function: Callable[..., Any], what: str, names: tuple[str, ...], signature: Signature) -> None:
    known = signature.arguments.model_fields
    for name in names:
        if name not in known:
            taken = ", ".join(known) or "none"
            raise DeclarationError(f"{place_of(function)}: {what} takes {name!r}; the call's own arguments are {taken}")


def _takes_none(adapter: TypeAdapter[Any] | None) -> bool:
    if adapter is None:
        return True
    try:
        adapter.validate_python(None)
    except ValidationError:
        return False
    return True
