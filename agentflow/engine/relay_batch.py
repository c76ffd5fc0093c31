"""A batch of messages in a relay's hands: claimed together, handed over and recorded one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import structlog

from agentflow.declare.delivery import DeliveryKind
from agentflow.domain.delivery import ClaimedDelivery, DeliveryAttempt
from agentflow.domain.identity import new_token
from agentflow.domain.outcome import Failed
from agentflow.domain.step import Effect
from agentflow.engine.deadman import TIMER_MARGIN_S, boottime
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.undelivered import tell_late, write_failure
from agentflow.policy.relaying import decide_failed_delivery
from agentflow.store import deliveries

log = structlog.get_logger("agentflow.outbox")

MOST = 20
# What is not handed over within this goes to others.
_LEASE_S = 30.0
# An outcome is worth waiting for: a database that restarts loses none.
_PATIENCE_S = RECORD_MARGIN_S - 2


def lease_s(kind: DeliveryKind) -> float:
    """Return how long a message is its relay's own once it is handed over."""
    return kind.timeout_s + RECORD_MARGIN_S


@dataclass(frozen=True, slots=True)
class _Delivered:
    """A message that has left, and is not recorded yet."""

    attempt: DeliveryAttempt
    response: Any


class Batch:
    """Claimed messages under one token. `rest` are those that were not handed over yet."""

    def __init__(self, runtime: Runtime, kind: DeliveryKind, token: str, claimed: Sequence[ClaimedDelivery]) -> None:
        self.rest = deque(claimed)
        self._runtime = runtime
        self._kind = kind
        self._token = token
        self._delivered: _Delivered | None = None

    @classmethod
    def claim(cls, runtime: Runtime, kind: DeliveryKind) -> Self:
        """Claim what is due; an empty batch where nothing is, or where an operator holds the kind."""
        token, worker = new_token(), runtime.worker
        claimed = runtime.database.glance(
            lambda tx: deliveries.claim(
                tx, kind.name, kind.bulkhead, token=token, worker=worker, lease_s=_LEASE_S, most=MOST
            )
        )
        return cls(runtime, kind, token, claimed)

    def hand_over(self, claimed: ClaimedDelivery, began: float) -> bool:
        """Commit that a message is being sent; False where it is not ours any more, or held.

        What was delivered before it is recorded in the same commit. `began` is a time of `boottime` before this call:
        the timer is set by it, so that who freezes on the way is dead before the lease is over all the same.
        """
        if not self._record(claimed.attempt):
            self.disarm()
            self.put_back([claimed])
            return False
        if self._runtime.isolated:
            self._runtime.timer.arm(self.deadline(began))
        return True

    def deadline(self, began: float) -> float:
        """Return when this process must be dead, on the clock of `boottime`, if it has not recorded by then."""
        return began + lease_s(self._kind) - TIMER_MARGIN_S

    def keep(self, claimed: ClaimedDelivery, response: Any) -> None:
        """Note that a message has left; that is written with the next hand-over, or at the end."""
        self._delivered = _Delivered(claimed.attempt, response)

    def fail(self, claimed: ClaimedDelivery, failed: Failed, began: float) -> None:
        """Record a delivery that failed, and what is done about it."""
        effect, attempt = self._kind.effect, claimed.attempt
        lease_left_s = max(0.0, began + lease_s(self._kind) - boottime())
        draw = self._runtime.draw()
        response = decide_failed_delivery(failed, effect, attempt.failures, lease_left_s=lease_left_s, draw=draw)
        written = self._runtime.database.atomically(
            lambda tx: write_failure(tx, attempt, failed, response), patience_s=_PATIENCE_S
        )
        self.disarm()
        if not written:
            self._say_lost(attempt)

    def take(self, fits: Callable[[ClaimedDelivery], bool]) -> list[ClaimedDelivery]:
        """Take those out of the rest that fit, and return them."""
        taken = [each for each in self.rest if fits(each)]
        self.rest = deque(each for each in self.rest if each not in taken)
        return taken

    def put_back(
        self, claimed: Sequence[ClaimedDelivery], after_s: float = 0.0, error: Mapping[str, Any] | None = None
    ) -> None:
        """Give messages back that were not handed over, to be tried again after a while."""
        message_ids, token = [each.attempt.message_id for each in claimed], self._token
        if message_ids:
            self._runtime.database.glance(
                lambda tx: deliveries.put_back(tx, message_ids, token, after_s=after_s, error=error)
            )

    def close(self) -> None:
        """Record what was delivered last, and give back what is left."""
        if self._delivered is not None:
            self._record(None)
        self.disarm()
        self.put_back(self.rest)
        self.rest.clear()

    def _record(self, following: DeliveryAttempt | None) -> bool:
        delivered, kind = self._delivered, self._kind
        sent, response = (delivered.attempt, delivered.response) if delivered else (None, None)
        done = self._runtime.database.glance(
            lambda tx: deliveries.hand_over(
                tx,
                sent,
                response,
                following,
                token=self._token,
                bulkhead=kind.bulkhead,
                effect=kind.effect,
                lease_s=lease_s(kind),
            ),
            patience_s=_PATIENCE_S,
        )
        self._delivered = None
        if delivered is not None and not done.is_sent:
            self._say_lost(delivered.attempt)
            if kind.effect is Effect.UNSAFE:
                tell_late(self._runtime.database, delivered.attempt)
        return done.is_sending

    def disarm(self) -> None:
        """Let this process live on."""
        if self._runtime.isolated:
            self._runtime.timer.disarm()

    def _say_lost(self, attempt: DeliveryAttempt) -> None:
        log.warning("lease_lost", message_id=attempt.message_id, kind=attempt.kind, attempt=attempt.attempt)
