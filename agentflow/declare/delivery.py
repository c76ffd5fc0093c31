"""Kinds of delivery: how messages of the outbox leave, beside e-mail and webhooks one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from agentflow.declare.limits import Limits
from agentflow.declare.signature import place_of
from agentflow.domain.delivery import KIND_NAME, Delivery
from agentflow.domain.errors import DeclarationError
from agentflow.domain.step import Effect

Deliver = Callable[[Delivery], Any]
CheckPayload = Callable[[Mapping[str, Any]], None]
NameBreaker = Callable[[Mapping[str, Any]], str]

_EFFECTS = (Effect.KEYED, Effect.IDEMPOTENT, Effect.UNSAFE)


class DeliveryKind:
    """How one kind of message leaves.

    `effect` says what a crash in the middle of a delivery comes to: `keyed` and `idempotent` are sent again under the
    same message id, `unsafe` waits for a person. `check` refuses a payload when it is queued, by a ToolError.
    `breaker_of` names what a payload's delivery depends on; all of a kind depend on one thing where it is None.
    `unconfigured` says what an operator has to set before anything of the kind can leave; until then messages wait.
    """

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        *,
        effect: str,
        timeout_s: float = 10.0,
        limits: Limits | None = None,
        check: CheckPayload | None = None,
        breaker_of: NameBreaker | None = None,
        unconfigured: str | None = None,
    ) -> None:
        self.name = name
        self.deliver = deliver
        self.place = place_of(deliver)
        self.timeout_s = timeout_s
        self.limits = limits or Limits()
        self.check = check
        self.breaker_of = breaker_of
        self.unconfigured = unconfigured
        where = f"{self.place}: delivery {name!r}"
        if not KIND_NAME.fullmatch(name):
            raise DeclarationError(f"{where}: give it a name of small letters, digits and _, at most 64")
        if effect not in _EFFECTS:
            raise DeclarationError(
                f"{where}: effect={effect!r}; give 'keyed' (the other side honours the message id), 'idempotent' "
                "(twice is the same as once) or 'unsafe' (a doubt waits for a person)"
            )
        if not 0 < timeout_s < math.inf:
            raise DeclarationError(f"{where}: timeout_s={timeout_s!r}; give seconds above zero")
        self.effect = Effect(effect)

    @property
    def bulkhead(self) -> str:
        """The name of the bulkhead that its deliveries go through; no tool's name holds a dot."""
        return f"outbox.{self.name}"

    @property
    def queue(self) -> str:
        """The Celery queue of its relay."""
        return f"outbox.{self.name}"

    def breaker(self, payload: Mapping[str, Any]) -> str:
        """The name of the breaker that a payload's delivery heeds."""
        return self.bulkhead if self.breaker_of is None else f"{self.bulkhead}:{self.breaker_of(payload)}"


def delivery(
    name: str,
    *,
    effect: str,
    timeout_s: float = 10.0,
    limits: Limits | None = None,
    check: CheckPayload | None = None,
) -> Callable[[Deliver], DeliveryKind]:
    """Declare how messages of a kind of one's own leave: `ctx.outbox.send(name, payload)` queues one.

    The function takes a Delivery and returns what is kept as the response, as JSON data. What it raises is classified
    as a tool's error is. It runs in prefork pools, outside every transaction.
    """

    def declare(function: Deliver) -> DeliveryKind:
        return DeliveryKind(name, function, effect=effect, timeout_s=timeout_s, limits=limits, check=check)

    return declare
