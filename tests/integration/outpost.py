"""Owns a relay in a test's process, moved turn by turn, and what is seen of the messages in the outbox."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2

from agentflow.declare.delivery import DeliveryKind, delivery
from agentflow.domain.delivery import Delivery
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import OutboxMessage
from agentflow.engine.relay_recovery import OutboxRecovery
from agentflow.engine.relaying import relay_kind
from agentflow.engine.sweeper import DEAD_S, GAP_S
from agentflow.store import outbox
from agentflow.store.workers import Judge
from agentflow.testing import Harness
from agentflow.testing.hints import CollectedHints
from tests.integration.hands import Hands
from tests.integration.outside import NO_TLS, PATIENCE_S, Endpoint

PARCEL = "parcel"


def parcels(endpoint: Endpoint, *, effect: str = "unsafe", name: str = PARCEL, **declared: Any) -> DeliveryKind:
    """A kind whose messages go to a server of the test's, each under its message's id."""

    @delivery(name, effect=effect, **{"timeout_s": 5.0, **declared})
    def post(message: Delivery) -> dict[str, Any]:
        headers = {"Message-Id": message.message_id, "Attempt": str(message.attempt)}
        reply = httpx2.post(
            endpoint.url, json=dict(message.payload), headers=headers, timeout=PATIENCE_S, verify=NO_TLS
        )
        return {"status": reply.raise_for_status().status_code}

    return post


class Outpost(Hands):
    """A worker that knows some kinds of messages."""

    def __init__(self, harness: Harness, *kinds: DeliveryKind, **runtime: Any) -> None:
        super().__init__(harness)
        self.runtime.deliveries = {kind.name: kind for kind in kinds}
        self.runtime.draw = lambda: 0.5
        for name, value in runtime.items():
            setattr(self.runtime, name, value)

    def queue(self, count: int = 1, *, kind: str = PARCEL, **payload: Any) -> list[str]:
        """Queue messages of one run, and return their ids in order."""
        run_id = str(uuid.uuid4())
        messages = [OutboxMessage(kind, {"n": n, **payload}) for n in range(count)]
        self.harness.database.atomically(
            lambda tx: outbox.queue(tx, messages, tenant="default", run_id=run_id, step_index=0)
        )
        rows = self.sql("select message_id from agentflow.outbox where run_id = %(id)s order by item", id=run_id)
        return [str(row["message_id"]) for row in rows]

    def relay(self, kind: str = PARCEL) -> None:
        """Take one relay's turn."""
        relay_kind(self.runtime, kind)

    def row(self, message_id: str) -> Mapping[str, Any]:
        """Return a message's whole row."""
        [row] = self.sql("select * from agentflow.outbox where message_id = %(id)s", id=message_id)
        return row

    def statuses(self) -> list[str]:
        """Return where all messages stand, in the order in which they were queued."""
        return [row["status"] for row in self.sql("select status from agentflow.outbox order by created_at, item")]

    def due_in_s(self, message_id: str) -> float:
        """Return in how many seconds a message is due."""
        query = "select next_attempt_at - clock_timestamp() from agentflow.outbox where message_id = %(id)s"
        return float(self.value(query, id=message_id).total_seconds())

    def make_due(self) -> None:
        """Let the time pass for which messages wait."""
        self.sql("update agentflow.outbox set next_attempt_at = clock_timestamp() - interval '2 seconds'")

    def end_leases(self) -> None:
        """Let every lease be over."""
        self.sql("update agentflow.outbox set lease_until = clock_timestamp() - interval '1 second'")

    def recovery(self, queues: Any = None, now: Callable[[], float] = lambda: 0.0) -> tuple[OutboxRecovery, Any]:
        """Return what a sweeper does for the outbox, and the hints that it gives."""
        hints = CollectedHints()
        runtime = self.runtime
        judge = Judge(runtime.worker.worker_id, DEAD_S, GAP_S)
        recovery = OutboxRecovery(self.harness.database, hints, queues or hints, runtime.gate, judge, now=now)
        return recovery, hints

    def sweep(self) -> list[Hint]:
        """Sweep the outbox once, and return the hints."""
        recovery, hints = self.recovery()
        recovery.sweep()
        return taken(hints)


def taken(hints: CollectedHints) -> list[Hint]:
    """Take all hints."""
    found = []
    while hint := hints.take():
        found.append(hint)
    return found


def arrived(endpoint: Endpoint) -> Sequence[str]:
    """Return the ids of the messages that arrived, in order, each as often as it did."""
    return [arrival.headers["message-id"] for arrival in endpoint.arrivals]
