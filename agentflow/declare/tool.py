"""Tools: what an agent can do, each with the class of its effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from agentflow.declare.aftermath import Compensator, Verifier, read_compensator, read_verifier
from agentflow.declare.approval import Approval, read_predicate
from agentflow.declare.context import Context
from agentflow.declare.credential import Credential
from agentflow.declare.limits import Limits
from agentflow.declare.result import result_as_json
from agentflow.declare.signature import place_of, read_signature
from agentflow.declare.tool_checks import check_tool
from agentflow.domain.errors import DeclarationError
from agentflow.domain.step import Effect
from agentflow.domain.waiting import Person

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
OnError = Literal["model", "fail"]
EndsRun = bool | Literal["handoff"]
Classifier = Callable[[Exception], Any]

DAY_S = 86_400.0
# A tool that does not say how late its requests may land is taken for one behind slow proxies.
SETTLE_S = 30.0

_LONGEST_KEY = 500


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
        ends_run: EndsRun = False,
        limits: Limits | None = None,
        depends_on: str | None = None,
        credential: Credential | None = None,
        classify: Classifier | None = None,
        cache: bool = False,
        verify_after: bool = False,
        approval: Approval = False,
        expires_s: float = DAY_S,
        no_approval: str | None = None,
        no_compensation: str | None = None,
        person: Person | None = None,
        place: str | None = None,
    ) -> None:
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", ""))
        self.place = place or place_of(function)
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
        self.verify_after = verify_after
        self.approval = approval
        self.expires_s = expires_s
        self.no_approval = no_approval
        self.no_compensation = no_compensation
        self.asks = person
        self.signature = read_signature(function, self.name)
        self.verifier: Verifier | None = None
        self.compensator: Compensator | None = None
        self.__doc__ = function.__doc__
        self.__name__ = self.name
        check_tool(self)
        self._predicate = read_predicate(approval, self.name, self.signature)

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

    @property
    def verify_task(self) -> str:
        """The name of the Celery task that verifies its calls."""
        return verify_task_of(self.task_name)

    @property
    def compensate_task(self) -> str:
        """The name of the Celery task that undoes its calls."""
        return f"{self.task_name}.compensate"

    def person_for(self, arguments: Mapping[str, Any]) -> Person | None:
        """Return what a call wants of a person first; raise ValueError where its predicate cannot say."""
        if self._predicate is None:
            return self.asks or (Person.APPROVAL if self.approval else None)
        try:
            needed = self._predicate.holds(self.signature.parse(arguments, defaults=True))
        except Exception as error:
            raise ValueError(f"the approval of {self.name!r} cannot be judged: {error}") from error
        return Person.APPROVAL if needed else None

    def verify(self, function: F) -> F:
        """Declare how to ask whether a call happened.

        It takes the context and, by name, the call's own arguments, and answers Happened(result), NotHappened() or
        Unknown(reason). `ctx.idempotency_key` is the call's own.
        """
        self._refuse_second("verification", self.verifier, function)
        self.verifier = read_verifier(function, self.name, self.signature, self.effect)
        return function

    @overload
    def compensate(self, function: F) -> F: ...

    @overload
    def compensate(self, *, effect: str | None = None, timeout_s: float | None = None) -> Callable[[F], F]: ...

    def compensate(
        self, function: F | None = None, *, effect: str | None = None, timeout_s: float | None = None
    ) -> F | Callable[[F], F]:
        """Declare how to undo a call. It takes the context, the result, and by name the call's own arguments.

        `effect` is the class of the undoing itself: that of the tool where it says nothing, but `unsafe` for a
        `verified` tool, whose verification asks about another call. Its key is its own; `ctx.subject_key` is the key
        of the call that it undoes.
        """

        def declare(function: F) -> F:
            self._refuse_second("compensation", self.compensator, function)
            if self.no_compensation is not None:
                raise DeclarationError(
                    f"{place_of(function)}: {self.name!r} has a no_compensation too; take one of them"
                )
            limit_s = self.timeout_s if timeout_s is None else timeout_s
            self.compensator = read_compensator(function, self.name, self.signature, self.effect, effect, limit_s)
            return function

        return declare if function is None else declare(function)

    def _refuse_second(self, what: str, first: Verifier | Compensator | None, function: Callable[..., Any]) -> None:
        if first is not None:
            raise DeclarationError(
                f"{place_of(function)}: {self.name!r} has a {what} at {place_of(first.function)} already; keep one"
            )

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
        return result_as_json(result, self.signature.returns)

    def check_complete(self) -> None:
        """Raise DeclarationError for what only shows once the whole module is loaded."""
        if self.effect is Effect.VERIFIED and self.verifier is None:
            raise DeclarationError(
                f"{self.place}: tool {self.name!r} is 'verified' but nothing verifies it; add @{self.name}.verify"
            )
        if self.verify_after and self.verifier is None:
            raise DeclarationError(
                f"{self.place}: tool {self.name!r} has verify_after=True but nothing verifies it; "
                f"add @{self.name}.verify"
            )


def verify_task_of(task_name: str) -> str:
    """Return the name of the task that verifies the calls of a tool's task."""
    return f"{task_name}.verify"


def tool(
    *,
    effect: str | None = None,
    name: str | None = None,
    timeout_s: float = 10.0,
    settle_s: float | None = None,
    key: str | None = None,
    queue: str | None = None,
    on_error: OnError = "model",
    ends_run: EndsRun = False,
    limits: Limits | None = None,
    depends_on: str | None = None,
    credential: Credential | None = None,
    classify: Classifier | None = None,
    cache: bool = False,
    verify_after: bool = False,
    approval: Approval = False,
    expires_s: float = DAY_S,
    no_approval: str | None = None,
    no_compensation: str | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]:
    """Declare a tool.

    `effect` is one of read, transactional, keyed, idempotent, verified, unsafe and has no default. `timeout_s` bounds
    one call. `key` is a template over the parameters, for effects that must happen once across runs. `queue` is the
    Celery queue (`tool.<name>` by default). `on_error="fail"` ends the run when the tool fails; otherwise the model is
    told. With `ends_run` the tool's answer is the run's result; with `ends_run="handoff"` its outcome is `handoff`.

    `limits` are the tool's slots, rates, breaker and retry budget. Tools that name the same `depends_on` share a
    breaker. `credential` is refreshed once when the other side answers 401. `classify(error)` answers a kind of the
    taxonomy, a `ToolError`, or None for what it doesn't know. With `cache` (of a `read` tool) the same call is made
    once per run.

    `settle_s` is how many seconds after it was sent a request may still take effect (30 where nothing is said); a
    verification waits so long. With `verify_after` each call is verified, those too that were answered with success.
    `approval` is True, or a predicate over the call's arguments, those it names: such a call waits until a person
    approves it, for at most `expires_s` seconds. `no_approval` states why calls of an `unsafe` tool need none,
    `no_compensation` why an effect has no compensation.
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
            verify_after=verify_after,
            approval=approval,
            expires_s=expires_s,
            no_approval=no_approval,
            no_compensation=no_compensation,
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
