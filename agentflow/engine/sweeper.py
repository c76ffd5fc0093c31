"""The sweeper: finds what nobody is going to move, and moves it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from functools import partial

import structlog

from agentflow.domain.hint import Hint, HintPublisher, HintQueues
from agentflow.engine.recovery import QUARANTINE_QUEUE, take_back
from agentflow.engine.relay_recovery import OutboxRecovery
from agentflow.engine.slot_recovery import SlotRecovery
from agentflow.gate.open_gate import OpenGate
from agentflow.gate.protocol import Gate
from agentflow.policy.recovery import Evidence
from agentflow.store import sweeps, workers
from agentflow.store.database import Database, Transaction
from agentflow.store.sweeps import Hintable, LostStep

log = structlog.get_logger("agentflow.sweeper")

# A worker whose heartbeat is this old is dead, if the judge's own has been unbroken for as long.
DEAD_S = 7.0
# A judge that missed beats for this long can't tell others' silence from its own; nor can one whose last is older.
GAP_S = 5.0
# A hint may take this long from its commit to its queue, or from a queue to a claim, before it counts as lost.
GRACE_S = 3.0
_TURN_S = 5.0
_MOST = 500
_FORGOTTEN_EVERY = 15
_SLOTS_EVERY = 5


class _Unknown(Enum):
    AGE = "age"


class Sweeper:
    """One worker's sweeper. Of all of them, one at a time has the turn, by a lease row on the database's clock."""

    def __init__(
        self, database: Database, hints: HintPublisher, queues: HintQueues, worker_id: str, gate: Gate | None = None
    ) -> None:
        self._database = database
        self._hints = hints
        self._queues = queues
        self._worker_id = worker_id
        self._gate = gate or OpenGate()
        self._outbox = OutboxRecovery(database, hints, queues, self._gate, worker_id, dead_s=DEAD_S, gap_s=GAP_S)
        self._slots = SlotRecovery(database, self._gate, worker_id, dead_s=DEAD_S, gap_s=GAP_S)
        self._sweeps = 0

    def sweep(self) -> bool:
        """Sweep once if it is this worker's turn; return whether it was."""
        if not self._database.atomically(lambda tx: sweeps.take_turn(tx, "sweep", self._worker_id, _TURN_S)):
            return False
        self._sweeps += 1
        self._take_back_lost()
        self._database.atomically(lambda tx: sweeps.stop_overdue(tx, most=_MOST))
        if self._sweeps % _FORGOTTEN_EVERY == 0:
            self._database.atomically(lambda tx: sweeps.revive_forgotten(tx, most=_MOST))
        if self._sweeps % _SLOTS_EVERY == 1:
            self._slots.sweep()
        self._hint_forgotten()
        self._admit_waiting()
        self._outbox.sweep()
        return True

    def next_moment_s(self) -> float | None:
        """Return in how many seconds there is something to do on time: a deadline, a parked step; None for later."""
        return self._database.glance(sweeps.next_moment_s)

    def report_dead_children(
        self, live_pids: Callable[[], Sequence[int]], evidence: Evidence = Evidence.CHILD_DEAD
    ) -> None:
        """Take back the steps of this worker's own children that are gone; `evidence` says how."""
        claimed = self._database.atomically(lambda tx: sweeps.steps_by_process(tx, self._worker_id))
        # Asked after the steps are read: a child that was born in between claimed none of them.
        alive = frozenset(live_pids())
        self._take_back([replace(step, evidence=evidence) for step, pid in claimed if pid not in alive])
        self._outbox.report_dead_children(live_pids)

    def _take_back_lost(self) -> None:
        self._take_back(
            self._database.atomically(
                lambda tx: sweeps.lost_steps(tx, judge=self._worker_id, dead_s=DEAD_S, gap_s=GAP_S, most=_MOST)
            )
        )

    def _take_back(self, lost: Sequence[LostStep]) -> None:
        for step in lost:
            evidence = Evidence(step.evidence)
            hints = self._database.atomically(partial(_take_back, step=step, evidence=evidence))
            if hints is None:
                continue
            if step.bulkhead is not None:
                self._gate.evict(step.bulkhead, step.run_id, step.step_index)
            log.warning("attempt_lost", run_id=step.run_id, step_index=step.step_index, evidence=step.evidence)
            self._hints.publish([self._routed(hint) for hint in hints])

    def _routed(self, hint: Hint) -> Hint:
        """Return a taken back step's hint for a queue that somebody serves: its own, or quarantine's for the other."""
        run_id, step_index = hint.run_id, hint.step_index
        if run_id is None or step_index is None:
            return hint
        served = self._database.atomically(lambda tx: workers.served_queues(tx, DEAD_S))
        if hint.queue in served:
            return hint
        if hint.queue != QUARANTINE_QUEUE:
            return replace(hint, queue=QUARANTINE_QUEUE) if QUARANTINE_QUEUE in served else hint
        own = self._database.atomically(lambda tx: sweeps.queue_of(tx, run_id, step_index))
        return replace(hint, queue=own)

    def _has_quarantine(self) -> bool:
        return QUARANTINE_QUEUE in self._database.atomically(lambda tx: workers.served_queues(tx, DEAD_S))

    def _hint_forgotten(self) -> None:
        due = self._database.atomically(lambda tx: sweeps.hintable(tx, grace_s=GRACE_S, most=_MOST))
        if not due:
            return
        has_quarantine = any(each.quarantined for each in due) and self._has_quarantine()
        hints = [(each, _hint_of(each, has_quarantine=has_quarantine)) for each in due]
        try:
            lost_before = {queue: self._lost_before(queue) for queue in {hint.queue for _, hint in hints}}
        except OSError as error:
            log.warning("queues_out_of_reach", error=str(error))
            return
        chosen = [(each, hint) for each, hint in hints if _is_lost(each, lost_before[hint.queue])]
        self._database.atomically(lambda tx: sweeps.mark_hinted(tx, [each for each, _ in chosen]))
        self._hints.publish([hint for _, hint in chosen])

    def _admit_waiting(self) -> None:
        """Hint steps that the gate has denied, at most as many as it has room for: a herd would be denied again."""
        names = self._database.glance(lambda tx: sweeps.crowded_bulkheads(tx, grace_s=GRACE_S))
        if not names:
            return
        for name, room in self._gate.capacity(names).items():
            most = min(room, _MOST)
            if most > 0:
                self._hint(self._database.atomically(partial(_next_in_line, bulkhead=name, most=most)))

    def _hint(self, chosen: Sequence[Hintable]) -> None:
        has_quarantine = any(each.quarantined for each in chosen) and self._has_quarantine()
        self._hints.publish([_hint_of(each, has_quarantine=has_quarantine) for each in chosen])

    def _lost_before(self, queue: str) -> datetime | _Unknown | None:
        """Return the time before which every hint in this queue is gone: queues are FIFO. None for an empty queue."""
        try:
            oldest = self._queues.oldest(queue)
        except LookupError:
            return _Unknown.AGE
        if oldest is None:
            return None
        run_id, step_index = oldest
        return self._database.atomically(lambda tx: sweeps.hinted_at(tx, run_id, step_index)) or _Unknown.AGE


def _take_back(tx: Transaction, *, step: LostStep, evidence: Evidence) -> list[Hint] | None:
    return take_back(tx, step.run_id, step.step_index, step.attempt, evidence, draw=random.random())  # noqa: S311


def _next_in_line(tx: Transaction, *, bulkhead: str, most: int) -> Sequence[Hintable]:
    chosen = sweeps.next_in_line(tx, bulkhead, grace_s=GRACE_S, most=most)
    sweeps.mark_hinted(tx, chosen)
    return chosen


def _is_lost(each: Hintable, lost_before: datetime | _Unknown | None) -> bool:
    if each.hinted_at is None or lost_before is None:
        return True
    return lost_before is not _Unknown.AGE and each.hinted_at < lost_before


def _hint_of(each: Hintable, *, has_quarantine: bool) -> Hint:
    queue = QUARANTINE_QUEUE if each.quarantined and has_quarantine else each.queue
    return Hint(each.task_name, queue, each.run_id, each.step_index)
