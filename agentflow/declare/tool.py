"""Tools: what an agent can do, each with the class of its effect."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from agentflow.declare.context import Context
from agentflow.declare.credential import Credential
from agentflow.declare.limits import Limits
from agentflow.declare.signature import place_of, read_signature, uses_attribute
from agentflow.domain.errors import DeclarationError, PayloadRefused
from agentflow.domain.step import RESERVED_TOOL_NAMES, Effect

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
OnError = Literal["model", "fail"]
Classifier = Callable[[Exception], Any]

_LONGEST_KEY = 500
_DEPENDENCY = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class Tool(Generic[P, R]):
    """A declared tool. It stays callable as the plain function it was made of."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        effect: str,
        name: str | None = None,
        timeout_s: float = 10.0,
        settle_s: float | None = None,
        key: str | None = None,
        queue: str | None = None,
        on_error: OnError = "model",
        ends_run: bool = False,
        limits: Limits | None = None,
        depends_on: str | None = None,
        credential: Credential | None = None,
        classify: Classifier | None = None,
        cache: bool = False,
    ) -> None:
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", ""))
        self.place = place_of(function)
        self.effect = _effect_of(effect, f"{self.place}: tool {self.name!r}")
        self.timeout_s = timeout_s
        self.settle_s = settle_s
        self.key = key
        self.queue = queue or f"tool.{self.name}"
        self.on_error = on_error
        self.ends_run = ends_run
        self.limits = limits or Limits()
        self.depends_on = depends_on
        self.credential = credential
        self.classify = classify
        self.cache = cache
        self.signature = read_signature(function, self.name)
        self.verifier: Callable[..., Any] | None = None
        self.compensator: Callable[..., Any] | None = None
        self.__doc__ = function.__doc__
        self.__name__ = self.name
        self._check()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name} ({self.effect})>"

    @property
    def description(self) -> str:
        """What the model is told the tool does."""
        return self.signature.description

    @property
    def task_name(self) -> str:
        """The name of the tool's Celery task."""
        return f"step.{self.name}"

    def rate_keys(self, arguments: Mapping[str, Any], user_id: str | None) -> list[str | None]:
        """Return for each of the tool's rates whose it is; None for one that all calls share."""
        values = {"user_id": user_id, **arguments}
        return [None if rate.key is None else _filled(rate.key, values) for rate in self.limits.rates]

    def verify(self, function: F) -> F:
        """Declare how to ask whether the effect happened. It takes the context and the call's own arguments."""
        self.verifier = function
        return function

    def compensate(self, function: F) -> F:
        """Declare how to undo the effect. It takes the context, the result, and the call's own arguments."""
        self.compensator = function
        return function

    def key_for(self, arguments: Mapping[str, Any]) -> str | None:
        """Return the business key of a call, None where the tool names none; raise ValueError for what can't be one."""
        if self.key is None:
            return None
        values = self.signature.parse(arguments, defaults=True)
        try:
            key = self.key.format(**values)
        except Exception as error:
            raise ValueError(f"the key {self.key!r} cannot be made of these arguments: {error}") from error
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise ValueError(
                f"the key {key[:80]!r}... may hold {_LONGEST_KEY} printable characters; shorten what is in it"
            )
        return key

    def run(self, context: Context, arguments: Mapping[str, Any]) -> Any:
        """Call the function with stored arguments and return its result as JSON data."""
        return self.as_json(self.call(context, self.signature.parse(arguments)))

    def call(self, context: Context, parsed: Mapping[str, Any]) -> R:
        """Call the function with parsed arguments, and with the context where it takes one."""
        with_context = {self.signature.context_name: context} if self.signature.context_name else {}
        return self.function(**parsed, **with_context)  # type: ignore[call-arg, arg-type]

    def as_json(self, result: Any) -> Any:
        """Return a result as JSON data, by the function's return type; raise PayloadRefused for what is none."""
        if result is None or isinstance(result, str | bool | int | float):
            return result
        returns = self.signature.returns
        try:
            if returns is not Any and returns is not type(None) and not isinstance(result, dict | list):
                return TypeAdapter(returns).dump_python(result, mode="json")
            return to_jsonable_python(result, inf_nan_mode="constants")
        except Exception as error:
            raise PayloadRefused(f"a {type(result).__name__} is no JSON data: {error}") from error

    def check_complete(self) -> None:
        """Raise DeclarationError for what only shows once the whole module is loaded."""
        if self.effect is Effect.VERIFIED and self.verifier is None:
            raise DeclarationError(
                f"{self.place}: tool {self.name!r} is 'verified' but nothing verifies it; add @{self.name}.verify"
            )

    def _check(self) -> None:
        where = f"{self.place}: tool {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(f"{where}: give it a name of letters, digits and _, at most 64, with name=...")
        if self.name in RESERVED_TOOL_NAMES:
            raise DeclarationError(f"{where}: the name is reserved; give it another with name=...")
        self._check_times(where)
        if self.on_error not in {"model", "fail"}:
            raise DeclarationError(f"{where}: on_error={self.on_error!r}; give 'model' or 'fail'")
        context_name = self.signature.context_name
        if self.effect is Effect.TRANSACTIONAL and context_name is None:
            raise DeclarationError(
                f"{where} is 'transactional' but takes no Context; add `ctx: Context` and write through ctx.connection"
            )
        if self.effect is Effect.KEYED and not (
            context_name and uses_attribute(self.function, context_name, "idempotency_key")
        ):
            raise DeclarationError(
                f"{where} is 'keyed' but never uses its key; add `ctx: Context` and send ctx.idempotency_key along"
            )
        if self.key is not None:
            self._check_template(where, "key", self.key, set(self.signature.arguments.model_fields))
        self._check_limits(where)

    def _check_limits(self, where: str) -> None:
        if not isinstance(self.limits, Limits):
            raise DeclarationError(f"{where}: limits={self.limits!r}; give Limits(...)")
        if self.depends_on is not None and not _DEPENDENCY.fullmatch(self.depends_on):
            raise DeclarationError(f"{where}: depends_on={self.depends_on!r}; give a name of letters, digits, _ . : -")
        if self.credential is not None and not isinstance(self.credential, Credential):
            raise DeclarationError(f"{where}: credential={self.credential!r} is none; decorate a function @credential")
        if self.cache and self.effect is not Effect.READ:
            raise DeclarationError(f"{where}: cache=True is for 'read' tools; a call that does something is made")
        for rate in self.limits.rates:
            if rate.key is not None:
                self._check_template(where, "Rate key", rate.key, {"user_id", *self.signature.arguments.model_fields})

    def _check_times(self, where: str) -> None:
        if not 0 < self.timeout_s < math.inf:
            raise DeclarationError(f"{where}: timeout_s={self.timeout_s!r}; give seconds above zero")
        if self.settle_s is not None and not 0 <= self.settle_s < math.inf:
            raise DeclarationError(f"{where}: settle_s={self.settle_s!r}; give seconds, zero or more")

    def _check_template(self, where: str, what: str, template: str, known: set[str]) -> None:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        except ValueError as error:
            raise DeclarationError(f"{where}: {what}={template!r} is no format string: {error}") from error
        for field in fields:
            root = re.split(r"[.\[]", field, maxsplit=1)[0]
            if root not in known:
                raise DeclarationError(
                    f"{where}: {what}={template!r} names {root!r}; "
                    f"its parameters are {', '.join(sorted(known)) or 'none'}"
                )
        if not fields:
            raise DeclarationError(
                f"{where}: {what}={template!r} is the same for every call; name a parameter in braces"
            )


def tool(
    *,
    effect: str | None = None,
    name: str | None = None,
    timeout_s: float = 10.0,
    settle_s: float | None = None,
    key: str | None = None,
    queue: str | None = None,
    on_error: OnError = "model",
    ends_run: bool = False,
    limits: Limits | None = None,
    depends_on: str | None = None,
    credential: Credential | None = None,
    classify: Classifier | None = None,
    cache: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]:
    """Declare a tool.

    `effect` is one of read, transactional, keyed, idempotent, verified, unsafe and has no default. `timeout_s` bounds
    one call. `key` is a template over the parameters, for effects that must happen once across runs. `queue` is the
    Celery queue (`tool.<name>` by default). `on_error="fail"` ends the run when the tool fails; otherwise the model is
    told. With `ends_run` the tool's answer is the run's result.

    `limits` are the tool's slots, rates, breaker and retry budget. Tools that name the same `depends_on` share a
    breaker. `credential` is refreshed once when the other side answers 401. `classify(error)` answers a kind of the
    taxonomy, a `ToolError`, or None for what it doesn't know. With `cache` (of a `read` tool) the same call is made
    once per run.
    """

    def declare(function: Callable[P, R]) -> Tool[P, R]:
        if effect is None:
            raise DeclarationError(f"{place_of(function)}: @tool needs an effect: {_EFFECTS}")
        return Tool(
            function,
            effect=effect,
            name=name,
            timeout_s=timeout_s,
            settle_s=settle_s,
            key=key,
            queue=queue,
            on_error=on_error,
            ends_run=ends_run,
            limits=limits,
            depends_on=depends_on,
            credential=credential,
            classify=classify,
            cache=cache,
        )

    return declare


_EFFECTS = (
    "read (changes nothing), transactional (writes through ctx.connection alone), keyed (the other side honours the "
    "idempotency key), idempotent (twice in a row is the same as once), verified (verify can ask whether it happened), "
    "unsafe (none of these)"
)


def _filled(template: str, values: Mapping[str, Any]) -> str:
    try:
        return template.format(**values)[:_LONGEST_KEY]
    except Exception:  # noqa: BLE001 - whatever a parameter's own formatting raises: one rate for all such calls
        return "?"


def _effect_of(effect: str, where: str) -> Effect:
    try:
        return Effect(effect)
    except ValueError:
        raise DeclarationError(f"{where}: effect={effect!r} is none of {_EFFECTS}") from None
