"""What may follow a tool's call: asking whether it happened, and undoing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agentflow.declare.companion import Parameters, check_names, named, read_parameters
from agentflow.declare.context import Context
from agentflow.declare.result import result_as_json
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
_CLASSES = tuple(effect for effect in Effect if effect in _INHERITED.values())


@dataclass(frozen=True, slots=True)
class Verifier:
    """Asks whether a call happened; it takes the context and the call's own arguments by name, those it names."""

    function: Callable[..., Any]
    context_name: str | None
    names: tuple[str, ...]

    def call(self, context: Context, parsed: Mapping[str, Any]) -> Any:
        """Ask about a call with these arguments, parsed with their defaults."""
        with_context = {self.context_name: context} if self.context_name else {}
        return self.function(**named(self.names, parsed), **with_context)


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
    returns: Any

    def as_json(self, returned: Any) -> Any:
        """Return what the undoing answered as JSON data; raise PayloadRefused for what is none."""
        return result_as_json(returned, self.returns)

    def call(self, context: Context, result: Any, parsed: Mapping[str, Any]) -> Any:
        """Undo a call with this result and these arguments, both parsed, the arguments with their defaults."""
        with_context = {self.context_name: context} if self.context_name else {}
        return self.function(**{self.result_name: result}, **named(self.names, parsed), **with_context)

    def parse_result(self, result: Any) -> Any:
        """Return a stored result as the type that it takes; raise ValueError where it is none."""
        if self.result_type is None:
            return result
        try:
            return self.result_type.validate_python(result)
        except ValidationError as error:
            raise ValueError(f"the stored result does not fit {self.result_name!r}: {describe(error)}") from error
        except Exception as error:
            raise ValueError(
                f"the stored result does not fit {self.result_name!r}: {type(error).__name__}: {error}"
            ) from error


def read_verifier(function: Callable[..., Any], tool: str, signature: Signature, effect: Effect) -> Verifier:
    """Return a tool's verifier; raise DeclarationError for what cannot be one."""
    what = f"the verification of {tool!r}"
    if effect in {Effect.READ, Effect.TRANSACTIONAL}:
        raise DeclarationError(
            f"{place_of(function)}: {what}: a {str(effect)!r} call leaves nothing to ask about outside; leave it out"
        )
    takes = read_parameters(function, what)
    check_names(function, what, takes.names, signature)
    return Verifier(function, takes.context_name, takes.names)


def read_compensator(
    function: Callable[..., Any], tool: str, signature: Signature, effect: Effect, said: str | None, timeout_s: float
) -> Compensator:
    """Return a tool's compensator; raise DeclarationError for what cannot be one."""
    what = f"the compensation of {tool!r}"
    where = f"{place_of(function)}: {what}"
    if effect is Effect.READ:
        raise DeclarationError(f"{where}: {tool!r} is 'read' and changes nothing; there is nothing to undo")
    if not 0 < timeout_s < math.inf:
        raise DeclarationError(f"{where}: timeout_s={timeout_s!r}; give seconds above zero")
    takes = read_parameters(function, what)
    _check_result(where, takes, signature)
    check_names(function, what, takes.names[1:], signature)
    own = _INHERITED[effect] if said is None else _effect_of(where, said)
    _check_promise(function, where, own, takes.context_name)
    adapter = _adapter_of(where, takes.names[0], takes.hints.get(takes.names[0], Any))
    return Compensator(
        function=function,
        effect=own,
        says_effect=said is not None,
        timeout_s=timeout_s,
        context_name=takes.context_name,
        result_name=takes.names[0],
        result_type=adapter,
        takes_none=_takes_none(adapter),
        names=takes.names[1:],
        returns=takes.hints.get("return", Any),
    )


def _check_result(where: str, takes: Parameters, signature: Signature) -> None:
    if not takes.names:
        raise DeclarationError(f"{where} takes no result; its first parameter beside the Context is the call's result")
    # A compensation that forgot the result would be given it in the place of an argument.
    if takes.names[0] in signature.arguments.model_fields:
        raise DeclarationError(
            f"{where} takes {takes.names[0]!r} first, where it is given the call's result, and the call has an "
            "argument of that name; put a parameter for the result before it, under another name"
        )


def _effect_of(where: str, said: str) -> Effect:
    if said not in _CLASSES:
        raise DeclarationError(
            f"{where}: effect={said!r}; give one of {', '.join(_CLASSES)}: an undoing changes something, and its "
            "tool's verification asks about another call"
        )
    return Effect(said)


def _check_promise(function: Callable[..., Any], where: str, own: Effect, context_name: str | None) -> None:
    if own is Effect.TRANSACTIONAL and context_name is None:
        raise DeclarationError(
            f"{where} is 'transactional' but takes no Context; add `ctx: Context` and write through ctx.connection, or "
            "say effect=... of its own"
        )
    if own is Effect.KEYED and not (context_name and uses_attribute(function, context_name, "idempotency_key")):
        raise DeclarationError(
            f"{where} is 'keyed' but never uses its key; send ctx.idempotency_key along, or say effect=... of its own"
        )


def _adapter_of(where: str, name: str, hint: Any) -> TypeAdapter[Any] | None:
    if hint is Any:
        return None
    try:
        return TypeAdapter(hint)
    except Exception as error:
        raise DeclarationError(f"{where}: nothing can be read as {name!r}, {hint!r}: {error}") from error


def _takes_none(adapter: TypeAdapter[Any] | None) -> bool:
    if adapter is None:
        return True
    try:
        adapter.validate_python(None)
    except Exception:  # noqa: BLE001 - a validator of the user's own may raise anything
        return False
    return True
