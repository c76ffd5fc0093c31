"""Agents: a model that thinks, tools that act."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agentflow.declare.budget import Budget
from agentflow.declare.credential import Credential
from agentflow.declare.declaration import COORDINATOR_QUEUE, Declaration, source_of
from agentflow.declare.fallback import Fail, Fallback
from agentflow.declare.limits import Limits
from agentflow.declare.signature import describe
from agentflow.declare.tool import Tool
from agentflow.domain.decision import Decision
from agentflow.domain.errors import DeclarationError
from agentflow.domain.run import Outcome, Run
from agentflow.domain.step import Step
from agentflow.policy.agent_loop import AgentRules, decide_agent

MODEL_QUEUE = "model"
_LEAST_CONTEXT = 256
# The settings that limit an answer.
OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens")


class Agent(Declaration):
    """A model with instructions and tools.

    `model` is `provider:name`, or an object with `complete(request)`. `input` is the type of a run's input; a run's
    `prompt(input)` is the customer's message, and a string input is that message itself. `result` is the type of the
    final answer: `str`, or a type that the model's JSON is parsed into. `settings` go to the model (`max_tokens`,
    `temperature`, ...). `model_timeout_s` bounds one model call. `limits` and `depends_on` are those of the model's
    bulkhead, which all agents with this model share; `credential` holds the key that its provider is asked with.
    `context_tokens` is the model's window where the price list knows none, or less than that. `on_failure` says what
    becomes of what a run did when it fails: `ask` a person (what holds where nothing is said), `compensate`, or `keep`.
    """

    kind = "agent"
    decides_at_once = True
    asks_model = True

    def __init__(
        self,
        name: str,
        *,
        model: Any,
        instructions: str = "",
        tools: Sequence[Tool[Any, Any]] = (),
        input: Any = None,
        prompt: Callable[[Any], str] | None = None,
        result: Any = str,
        budget: Budget | None = None,
        fallback: Fallback | Fail | None = None,
        on_failure: str | None = None,
        settings: Mapping[str, Any] | None = None,
        model_timeout_s: float = 60.0,
        queue: str = COORDINATOR_QUEUE,
        model_queue: str = MODEL_QUEUE,
        limits: Limits | None = None,
        depends_on: str | None = None,
        credential: Credential | None = None,
        context_tokens: int | None = None,
    ) -> None:
        super().__init__(
            name, tools=tools, input=input, budget=budget, fallback=fallback, on_failure=on_failure, queue=queue
        )
        self.model = model
        self.instructions = instructions
        self.prompt = prompt
        self.result = result
        self.settings = dict(settings or {})
        self.model_timeout_s = model_timeout_s
        self.model_queue = model_queue
        self.limits = limits or Limits()
        self.depends_on = depends_on
        self.credential = credential
        self.context_tokens = context_tokens
        self._check_model()
        self._check_limits()
        try:
            self._result: TypeAdapter[Any] | None = None if result is str else TypeAdapter(result)
            self.result_schema = self._result.json_schema() if self._result else None
        except Exception as error:
            raise DeclarationError(
                f"{self.place}: result={result!r} of {name!r} has no JSON schema: {error}"
            ) from error
        self._rules = AgentRules(
            first_message=self.first_message,
            ends_run={
                tool.name: Outcome.HANDOFF if tool.ends_run == "handoff" else Outcome.COMPLETE
                for tool in self.tools.values()
                if tool.ends_run
            },
            fails_run=frozenset(tool.name for tool in self.tools.values() if tool.on_error == "fail"),
        )

    def _check_model(self) -> None:
        if isinstance(self.model, str) and ":" not in self.model:
            raise DeclarationError(f"{self.place}: model={self.model!r} of {self.name!r}; write it as 'provider:name'")
        if not isinstance(self.model, str) and not callable(getattr(self.model, "complete", None)):
            raise DeclarationError(f"{self.place}: model={self.model!r} of {self.name!r} has no complete(request)")
        if not 0 < self.model_timeout_s < math.inf:
            where = f"{self.place}: model_timeout_s={self.model_timeout_s!r} of {self.name!r}"
            raise DeclarationError(f"{where}; give seconds above zero")
        for name in OUTPUT_LIMITS:
            limit = self.settings.get(name, 1)
            if type(limit) is not int or limit < 1:
                where = f"{self.place}: settings[{name!r}]={limit!r} of {self.name!r}"
                raise DeclarationError(f"{where}; give a whole number above zero, or leave it out")

    def _check_limits(self) -> None:
        if any(rate.key not in {None, "{user_id}"} for rate in self.limits.rates):
            raise DeclarationError(
                f"{self.place}: a Rate of {self.name!r} has another key than '{{user_id}}'; a model has no other"
            )
        if self.credential is not None and not isinstance(self.credential, Credential):
            raise DeclarationError(f"{self.place}: credential={self.credential!r} is none; decorate a @credential")
        if self.context_tokens is not None and self.context_tokens < _LEAST_CONTEXT:
            where = f"{self.place}: context_tokens={self.context_tokens!r} of {self.name!r}"
            raise DeclarationError(f"{where}; give a whole number, at least {_LEAST_CONTEXT}")

    @property
    def bulkhead(self) -> str:
        """The name of the bulkhead that its model calls go through; a tool's name never holds a colon."""
        return self.model if isinstance(self.model, str) else f"model:{type(self.model).__name__}"

    def rate_keys(self, user_id: str | None) -> list[str | None]:
        """Return for each of the model's rates whose it is; None for one that all calls share."""
        return [None if rate.key is None else rate.key.format(user_id=user_id) for rate in self.limits.rates]

    @property
    def queues(self) -> frozenset[str]:
        """Every queue that the agent's runs may use."""
        return super().queues | {self.model_queue}

    def decide(self, run: Run, history: Sequence[Step]) -> Decision:
        """Answer what comes next: the model, its tool calls side by side, the model again, until it has an answer."""
        return decide_agent(run, history, self._rules)

    def first_message(self, value: Any) -> str:
        """Return the customer's message for a run's stored input."""
        if self.prompt is not None:
            message = self.prompt(self.parse_input(value))
            if not isinstance(message, str):
                raise TypeError(f"the prompt of {self.name!r} answered {message!r}; answer a str")
            return message
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def parse_result(self, content: str) -> Any:
        """Return the final answer as JSON data; raise ValueError saying what does not fit."""
        if self._result is None:
            return content
        try:
            return self._result.dump_python(self._result.validate_json(content), mode="json")
        except ValidationError as error:
            raise ValueError(describe(error)) from error
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def described(self) -> dict[str, Any]:
        """Return what makes this version of the agent what it is."""
        return {
            "model": self.model if isinstance(self.model, str) else repr(type(self.model)),
            "instructions": self.instructions,
            "prompt": source_of(self.prompt),
            "result": self.result_schema,
            "settings": self.settings,
            "model_timeout_s": self.model_timeout_s,
            "limits": asdict(self.limits),
            "depends_on": self.depends_on,
            "context_tokens": self.context_tokens,
        }
