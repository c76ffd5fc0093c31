"""Recovery of the outbox: messages whose relay is gone go back or are in doubt, and lost hints are given again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import structlog

from agentflow.domain.delivery import DeliveryStatus, LostDelivery
from agentflow.domain.failure import ErrorKind
from agentflow.domain.hint import Hint, HintPublisher, HintQueues, relay_hint
from agentflow.domain.outcome import Failed
from agentflow.engine.undelivered import UNSERVED, put_off_kind, write_failure
from agentflow.gate.protocol import Gate
from agentflow.policy.recovery import Evidence, NotYet
from agentflow.policy.relaying import decide_lost_delivery
from agentflow.store import deliveries, outbox_sweeps, workers
from agentflow.store.database import Database, Transaction
from agentflow.store.workers import Judge

log = structlog.get_logger("agentflow.outbox")

# Messages may be due for so long before somebody sees to it that a relay is at them.
GRACE_S = 1.0
# Between two hints for one kind.
_AGAIN_S = 2.0
# A pool that starts again is back by then.
_UNSERVED_AFTER_S = 30.0
# A worker that serves the queue may come at any time; the messages leave so soon after.
_UNSERVED_FOR_S = 5.0
_MOST = 500

_WHY: Mapping[Evidence, str] = {
    Evidence.LEASE_OVER: "its relay's lease ended without an answer",
    Evidence.OVERRUN: "its relay did not end in time",
    Evidence.WORKER_DEAD: "its relay's worker stopped beating",
    Evidence.CHILD_DEAD: "its relay died",
    Evidence.RELEASED: "its relay was told to end",
}


class OutboxRecovery:
    """What one worker's sweeper does for the outbox."""

    def __init__(
        self,
        database: Database,
        hints: HintPublisher,
        queues: HintQueues,
        gate: Gate,
        judge: Judge,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._hints = hints
        self._queues = queues
        self._gate = gate
        self._judge = judge
        self._now = now
        self._hinted: dict[str, float] = {}

    def sweep(self, *, until: float = float("inf")) -> bool:
        """Take back what is lost, and have relays look for what is due; False where `until` came before the end."""
        judge = self._judge
        is_done = self._take_back(
            self._database.glance(
                lambda tx: outbox_sweeps.lost(
                    tx, judge=judge.worker_id, dead_s=judge.dead_s, gap_s=judge.gap_s, most=_MOST
                )
            ),
            until,
        )
        due = self._database.glance(lambda tx: outbox_sweeps.due_kinds(tx, grace_s=GRACE_S))
        if due:
            self._put_off_unserved(due)
            self._hints.publish(list(self._lost_hints(due)))
        return is_done

    def report_dead_children(self, live_pids: Callable[[], Sequence[int]]) -> None:
        """Take back the messages of this worker's own children that are gone."""
        claimed = self._database.glance(lambda tx: outbox_sweeps.by_process(tx, self._judge.worker_id))
        if claimed:
            # Asked after the messages are read: a child that was born in between claimed none of them.
            alive = frozenset(live_pids())
            self._take_back([each for each, pid in claimed if pid not in alive])

    def _take_back(self, lost: Sequence[LostDelivery], until: float = float("inf")) -> bool:
        for each in lost:
            if time.monotonic() > until:
                return False
            if self._database.atomically(partial(take_back_delivery, lost=each, draw=random.random())):  # noqa: S311
                own = each.attempt
                self._gate.evict(f"outbox.{own.kind}", own.message_id, own.item)
                log.warning("delivery_lost", message_id=own.message_id, status=each.status, evidence=each.evidence)
        return True

    def _put_off_unserved(self, due: Mapping[str, float]) -> None:
        waiting = [kind for kind, due_for_s in due.items() if due_for_s > _UNSERVED_AFTER_S]
        if not waiting:
            return
        served = self._database.glance(lambda tx: workers.served_queues(tx, self._judge.dead_s))
        for kind in waiting:
            if (queue := relay_hint(kind).queue) not in served:
                why = f"no worker that is alive serves the queue {queue!r}"
                put_off_kind(self._database, kind, UNSERVED, why, after_s=_UNSERVED_FOR_S)

    def _lost_hints(self, due: Mapping[str, float]) -> Iterator[Hint]:
        for hint in map(relay_hint, due):
            is_fresh = self._now() - self._hinted.get(hint.queue, float("-inf")) < _AGAIN_S
            if not is_fresh and self._is_empty(hint.queue):
                self._hinted[hint.queue] = self._now()
                yield hint

    def _is_empty(self, queue: str) -> bool:
        """Answer whether no hint stands in a relay's queue: one is as good as many."""
        try:
            return self._queues.oldest(queue) is None
        except (LookupError, OSError):
            return False


def take_back_delivery(tx: Transaction, *, lost: LostDelivery, draw: float) -> bool:
    """Take a lost message back, if it is still that attempt's. One that was not handed over yet is only due again."""
    own, evidence = lost.attempt, Evidence(lost.evidence)
    if lost.status is DeliveryStatus.CLAIMED:
        return deliveries.put_back(tx, [own.message_id], own.token) > 0
    response = decide_lost_delivery(lost.effect, evidence, own.failures, draw=draw)
    if isinstance(response, NotYet):
        return False
    until = lost.lease_until.isoformat(timespec="milliseconds")
    message = f"{_WHY[evidence]}; it may have been handed over at any time until {until}"
    return write_failure(tx, own, Failed(ErrorKind.LOST, message, None, {"until": until}), response)
