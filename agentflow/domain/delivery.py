"""A delivery: one message of the outbox, on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class DeliveryStatus(StrEnum):
    """Where a message stands. `sending` is committed for a row alone, just before it is handed over."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


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
