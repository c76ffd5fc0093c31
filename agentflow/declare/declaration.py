"""What every kind of agent has: a name, tools, an input, a budget, a version, and a pure decision."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from agentflow.declare.aftermath import Compensator
from agentflow.declare.budget import Budget
from agentflow.declare.fallback import Fail, Fallback, fallback_of
from agentflow.declare.signature import describe, place_of_caller
from agentflow.declare.tool import Tool
from agentflow.domain.decision import Decision
from agentflow.domain.errors import DeclarationError, InvalidInput
from agentflow.domain.run import OnFailure, Run
from agentflow.domain.step import Step

COORDINATOR_QUEUE = "coordinator"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Declaration(ABC):
    """A declared agent.

    `decides_at_once` says that `decide` is the engine's own code, quick and total; `asks_model` that a model may be
    put in the place of another; `says_on_failure` that `on_failure` is its own word, and not what holds by default.
    """

    kind: str
    decides_at_once: bool
    asks_model = False
    default_on_failure = OnFailure.ASK

    def __init__(
        self,
        name: str,
        *,
        tools: Sequence[Tool[Any, Any]],
        input: Any,
        budget: Budget | None,
        fallback: Fallback | Fail | None,
        on_failure: str | None,
        queue: str,
    ) -> None:
        self.name = name
        self.place = place_of_caller()
        self.tools = {
            tool.name: tool for tool in _checked_tools(tools, f"{self.place}: {type(self).__name__} {name!r}")
        }
        self.input = input
        self.budget = self._checked_budget(budget)
        self.fallback = self._checked_fallback(fallback)
        self.on_failure = self._checked_on_failure(on_failure)
        self.says_on_failure = on_failure is not None
        self.queue = queue
        if not _NAME.fullmatch(name):
            raise DeclarationError(f"{self.place}: the name {name!r} may hold letters, digits, '_', '.' and '-' only")
        if len(self.tools) != len(tools):
            raise DeclarationError(f"{self.place}: {name!r} has two tools of one name; rename one with name=...")
        try:
            self._adapter: TypeAdapter[Any] | None = TypeAdapter(input) if input is not None else None
            self.input_schema = self._adapter.json_schema() if self._adapter else {}
        except Exception as error:
            raise DeclarationError(
                f"{self.place}: the input {input!r} of {name!r} has no JSON schema: {error}"
            ) from error

    @abstractmethod
    def decide(self, run: Run, history: Sequence[Step]) -> Decision:
        """Answer what comes next. Pure: no I/O, no clock, the same answer for the same history."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """Return what makes this version of the declaration what it is."""

    @cached_property
    def version(self) -> str:
        """A hash of the declaration."""
        parts = {
            "kind": self.kind,
            "input": self.input_schema,
            "budget": self.budget.as_json(),
            "fallback": self.fallback.described(),
            "on_failure": self.on_failure,
            "tools": {name: describe_tool(tool) for name, tool in sorted(self.tools.items())},
            "approvals": {
                name: source_of(tool.approval) for name, tool in self.tools.items() if callable(tool.approval)
            },
            **self.described(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()[:12]

    @property
    def queues(self) -> frozenset[str]:
        """Every queue that the agent's runs may use."""
        return frozenset({self.queue, *(tool.queue for tool in self.tools.values())})

    def parse_input(self, value: Any) -> Any:
        """Return stored input as the declared type; raise InvalidInput saying what does not fit."""
        if self._adapter is None:
            return value
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise InvalidInput(f"the input of {self.name!r} does not fit: {describe(error)}") from error

    def _checked_budget(self, budget: Any) -> Budget:
        if budget is None or isinstance(budget, Budget):
            return budget or Budget()
        raise DeclarationError(f"{self.place}: budget={budget!r} of {self.name!r}; give Budget(...)")

    def _checked_on_failure(self, given: Any) -> OnFailure:
        if given is None:
            return self.default_on_failure
        if given not in list(OnFailure):
            words = ", ".join(map(repr, map(str, OnFailure)))
            raise DeclarationError(f"{self.place}: on_failure={given!r} of {self.name!r}; give one of {words}")
        return OnFailure(given)

    def _checked_fallback(self, given: Any) -> Fallback:
        try:
            fallback = Fallback() if given is None else fallback_of(given)
        except DeclarationError as error:
            raise DeclarationError(f"{self.place}: {self.name!r}: {error}") from None
        if fallback.model is not None and not self.asks_model:
            kind = type(self).__name__
            raise DeclarationError(
                f"{self.place}: {kind} {self.name!r} asks no model that {fallback!r} could stand in for; "
                "give Fail(), Handoff() or Partial()"
            )
        return fallback


def describe_tool(tool: Tool[Any, Any]) -> dict[str, Any]:
    """Return a tool's declaration as data."""
    return {
        "description": tool.description,
        "parameters": tool.signature.schema,
        "effect": str(tool.effect),
        "timeout_s": tool.timeout_s,
        "settle_s": tool.settle_s,
        "key": tool.key,
        "queue": tool.queue,
        "on_error": tool.on_error,
        "ends_run": tool.ends_run,
        "limits": asdict(tool.limits),
        "depends_on": tool.depends_on,
        "credential": tool.credential.name if tool.credential else None,
        "cache": tool.cache,
        "verify": tool.verifier is not None,
        "verify_after": tool.verify_after,
        "compensate": _describe_compensator(tool.compensator),
        "no_compensation": tool.no_compensation,
        "approval": tool.approval if isinstance(tool.approval, bool) else "by its arguments",
        "no_approval": tool.no_approval,
        "asks": tool.asks,
        "expires_s": tool.expires_s,
    }


def _describe_compensator(compensator: Compensator | None) -> dict[str, Any] | None:
    if compensator is None:
        return None
    return {
        "effect": str(compensator.effect),
        "says_effect": compensator.says_effect,
        "timeout_s": compensator.timeout_s,
    }


def source_of(function: Callable[..., Any] | None) -> str | None:
    """Return a function's source where it can be had, else its name."""
    if function is None:
        return None
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return getattr(function, "__qualname__", repr(function))


def input_as_json(value: Any) -> Any:
    """Return a submission's input as JSON data."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else to_jsonable_python(value)


def _checked_tools(tools: Sequence[Any], where: str) -> Sequence[Tool[Any, Any]]:
    for each in tools:
        if not isinstance(each, Tool):
            raise DeclarationError(
                f"{where}: {getattr(each, '__name__', each)!r} is no tool; decorate it with @tool(...)"
            )
    return tools
