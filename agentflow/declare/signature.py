"""A tool's arguments: their model and JSON schema, read off the function's signature and docstring."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from agentflow.declare.context import Context
from agentflow.domain.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Signature:
    """What a tool takes. `context_name` is the parameter that takes the Context, if there is one."""

    arguments: type[BaseModel]
    context_name: str | None
    description: str
    returns: Any

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments, an object. It is shared: copy it before you change it."""
        return _schema_of(self.arguments)

    def parse(self, arguments: Mapping[str, Any], *, defaults: bool = False) -> dict[str, Any]:
        """Return the arguments as the function takes them; raise ValueError saying which is wrong.

        With `defaults` those that were not given are there too.
        """
        try:
            parsed = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise ValueError(describe(error)) from error
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        given = parsed.model_fields_set
        return {name: getattr(parsed, name) for name in type(parsed).model_fields if defaults or name in given}


@functools.cache
def _schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return schema


def describe(error: ValidationError) -> str:
    """Say what is wrong, argument by argument, without repeating the values."""
    lines = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in each["loc"]) or "value"
        lines.append(f"{place}: {each['msg']}")
    return "; ".join(lines)


def read_signature(function: Callable[..., Any], name: str) -> Signature:
    """Return what `function` takes; raise DeclarationError with the place for what cannot be a tool's parameter."""
    place = place_of(function)
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise DeclarationError(f"{place}: the annotations of {name!r} do not resolve: {error}") from error
    docstring = docstring_parser.parse(function.__doc__ or "")
    descriptions = {each.arg_name: each.description for each in docstring.params}
    context_name = None
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise DeclarationError(
                f"{place}: {name!r} takes {parameter}; name every parameter, so that it has a schema"
            )
        if hints.get(parameter.name) is Context:
            context_name = parameter.name
            continue
        if parameter.name not in hints:
            raise DeclarationError(f"{place}: parameter {parameter.name!r} of {name!r} has no type; annotate it")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default, description=descriptions.get(parameter.name)))
    try:
        arguments = _model_of(name, fields)
    except Exception as error:
        raise DeclarationError(f"{place}: the parameters of {name!r} have no JSON schema: {error}") from error
    if unusable := fields.keys() - arguments.model_fields.keys():
        raise DeclarationError(f"{place}: {name!r} cannot have a parameter {min(unusable)!r}; rename it")
    text = "\n\n".join(part for part in (docstring.short_description, docstring.long_description) if part)
    return Signature(arguments, context_name, text, hints.get("return", Any))


def _model_of(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    with warnings.catch_warnings():
        # A parameter may be called `json` or `copy`: nobody uses the methods that it hides.
        warnings.filterwarnings("ignore", message="Field name", category=UserWarning)
        arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    arguments.model_json_schema()
    return arguments


def place_of(function: Callable[..., Any]) -> str:
    """Return `file:line` of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, types.CodeType) else repr(function)


def place_of_caller() -> str:
    """Return `file:line` of whoever called into the declarations."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's place, at no cost of a whole stack
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("agentflow.declare"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def uses_attribute(function: Callable[..., Any], parameter: str, attribute: str) -> bool:
    """True where the function reads `parameter.attribute`, or hands `parameter` on to something that may."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return True
    read = {
        id(node.value): node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == parameter
    }
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == parameter]
    return any(read.get(id(node), attribute) == attribute for node in names)
