"""A delivery: one message of the outbox on its way out, its statuses and the legal ways between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from agentflow.domain.step import Effect

KIND_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class DeliveryStatus(StrEnum):
    """Where a message stands. `sending` is committed for a row alone, just before it is handed over."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


DELIVERY_TRANSITIONS: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.PENDING: frozenset({DeliveryStatus.CLAIMED}),
    DeliveryStatus.CLAIMED: frozenset({DeliveryStatus.SENDING, DeliveryStatus.PENDING}),
    DeliveryStatus.SENDING: frozenset(
        {DeliveryStatus.SENT, DeliveryStatus.PENDING, DeliveryStatus.FAILED, DeliveryStatus.IN_DOUBT}
    ),
    # By a person, or by the late record of the very attempt in doubt.
    DeliveryStatus.IN_DOUBT: frozenset({DeliveryStatus.SENT, DeliveryStatus.PENDING, DeliveryStatus.FAILED}),
    # By a person alone.
    DeliveryStatus.FAILED: frozenset({DeliveryStatus.PENDING}),
    DeliveryStatus.SENT: frozenset(),
}

# What a relay moves by itself: what has failed, a person has to look at.
_RELAYED = frozenset(DeliveryStatus) - {DeliveryStatus.FAILED}


def before(status: DeliveryStatus) -> list[str]:
    """Return the statuses out of which a relay may bring a message into this one."""
    return sorted(old for old in _RELAYED if status in DELIVERY_TRANSITIONS[old])


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a transport gets it.

    `message_id` is the same in every attempt, so that the other side can tell a repeat. `step_index` is -1 for a notice
    about the run itself. `attempt` counts from 1.
    """

    message_id: str
    tenant: str
    run_id: str
    step_index: int
    item: int
    kind: str
    payload: Mapping[str, Any]
    attempt: int


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt at a message: `attempt` and `token` are the fence. `failures` counts the earlier ones by kind."""

    message_id: str
    tenant: str
    run_id: str
    step_index: int
    item: int
    kind: str
    attempt: int
    token: str
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A message in a relay's hands, not handed over yet."""

    attempt: DeliveryAttempt
    payload: Mapping[str, Any]

    @property
    def delivery(self) -> Delivery:
        """The message as its transport gets it."""
        own = self.attempt
        place = (own.message_id, own.tenant, own.run_id, own.step_index, own.item, own.kind)
        return Delivery(*place, payload=self.payload, attempt=own.attempt)


@dataclass(frozen=True, slots=True)
class LostDelivery:
    """A claimed message whose relay is gone, and how that is known. It left before `lease_until`, if at all."""

    attempt: DeliveryAttempt
    status: DeliveryStatus
    effect: Effect
    lease_until: datetime
    evidence: str
