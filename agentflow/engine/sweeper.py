"""The sweeper: finds what nobody is going to move, and moves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from agentflow.domain.hint import HintPublisher, HintQueues
from agentflow.engine import relay_recovery
from agentflow.engine.hint_recovery import HintRecovery
from agentflow.engine.relay_recovery import OutboxRecovery
from agentflow.engine.served import ServedQueues
from agentflow.engine.slot_recovery import SlotRecovery
from agentflow.engine.step_recovery import StepRecovery
from agentflow.gate.open_gate import OpenGate
from agentflow.gate.protocol import Gate
from agentflow.policy.recovery import Evidence
from agentflow.store import sweeps
from agentflow.store.database import Database
from agentflow.store.sweeps import EVER_S, Look
from agentflow.store.workers import Judge

# A worker whose heartbeat is this old is dead, if the judge's own has been unbroken for as long.
DEAD_S = 7.0
# A judge that missed beats for this long can't tell others' silence from its own; nor can one whose last is older.
GAP_S = 5.0
# A hint may take this long from its commit to its queue, or from a queue to a claim, before it counts as lost.
GRACE_S = 3.0
_TURN_S = 5.0
_MOST = 500
# The thread that sweeps also beats.
_LONGEST_S = 2.0
_FORGOTTEN_EVERY = 15
_SLOTS_EVERY = 5
# A question that takes long is asked less often. Only of old steps the gate denies can there be very many to look at.
_FORGOTTEN_SHARE, _OLD_SHARE = 0.001, 0.005
_OLD_S = 60.0


class Sweeper:
    """One worker's sweeper. Of all of them, one at a time has the turn, by a lease row on the database's clock."""

    def __init__(
        self, database: Database, hints: HintPublisher, queues: HintQueues, worker_id: str, gate: Gate | None = None
    ) -> None:
        gate = gate or OpenGate()
        self._database = database
        self._judge = Judge(worker_id, DEAD_S, GAP_S)
        self._served = ServedQueues(database, DEAD_S)
        self._steps = StepRecovery(database, hints, gate, self._served)
        self._hints = HintRecovery(database, hints, queues, gate, self._served, most=_MOST)
        self._outbox = OutboxRecovery(database, hints, queues, gate, self._judge)
        self._slots = SlotRecovery(database, gate, self._judge)
        self._sweeps = 0
        self._forgotten_from = 0.0
        self._old_from = 0.0
        self.next_at: float | None = None

    def sweep(self) -> bool:
        """Sweep once if it is this worker's turn; return whether it was.

        Afterwards `next_at` is when there is more to do, by the monotonic clock: at once, or on time for a deadline or
        a parked step; None for later.
        """
        began, within_s = time.monotonic(), self._within_s()
        look = self._look_around(within_s)
        if look is None:
            return False
        self._sweeps += 1
        self._served.forget()
        self.next_at = None if look.next_in_s is None else began + max(look.next_in_s, 0.0)
        if not self._move(look, began + _LONGEST_S, within_s):
            self.next_at = began
        return True

    def report_dead_children(
        self, live_pids: Callable[[], Sequence[int]], evidence: Evidence = Evidence.CHILD_DEAD
    ) -> None:
        """Take back the steps of this worker's own children that are gone; `evidence` says how."""
        claimed = self._database.glance(lambda tx: sweeps.steps_by_process(tx, self._judge.worker_id))
        # Asked after the steps are read: a child that was born in between claimed none of them.
        alive = frozenset(live_pids())
        self._served.forget()
        self._steps.take_back([replace(step, evidence=evidence) for step, pid in claimed if pid not in alive])
        self._outbox.report_dead_children(live_pids)

    def _look_around(self, within_s: float) -> Look | None:
        began = time.monotonic()
        look = self._database.glance(
            lambda tx: sweeps.look_around(
                tx,
                self._judge,
                turn_s=_TURN_S,
                grace_s=GRACE_S,
                outbox_grace_s=relay_recovery.GRACE_S,
                within_s=within_s,
            )
        )
        if within_s == EVER_S:
            self._old_from = _next_time(began, _OLD_SHARE)
        return look

    def _within_s(self) -> float:
        return EVER_S if time.monotonic() >= self._old_from else _OLD_S

    def _move(self, look: Look, until: float, within_s: float) -> bool:
        """Move what was seen; False where some of it is left for the next sweep."""
        is_done = not look.has_lost or self._take_back_lost(until)
        has_due = look.has_due
        if look.has_overdue:
            stopped = self._database.glance(lambda tx: sweeps.stop_overdue(tx, most=_MOST))
            has_due, is_done = has_due or stopped > 0, is_done and stopped < _MOST
        has_due = self._revive_forgotten() or has_due
        if look.has_dead and self._sweeps % _SLOTS_EVERY == 1:
            self._slots.sweep()
        if has_due:
            is_done = self._hints.hint_forgotten(grace_s=GRACE_S, within_s=within_s) and is_done
        if look.crowded:
            self._hints.admit_waiting(look.crowded, grace_s=GRACE_S)
        if look.has_messages:
            is_done = self._outbox.sweep(until=until) and is_done
        return is_done

    def _take_back_lost(self, until: float) -> bool:
        lost = self._database.glance(lambda tx: sweeps.lost_steps(tx, self._judge, most=_MOST))
        return self._steps.take_back(lost, until=until)

    def _revive_forgotten(self) -> bool:
        if self._sweeps % _FORGOTTEN_EVERY or time.monotonic() < self._forgotten_from:
            return False
        began = time.monotonic()
        revived = self._database.glance(lambda tx: sweeps.revive_forgotten(tx, most=_MOST))
        self._forgotten_from = _next_time(began, _FORGOTTEN_SHARE)
        return revived > 0


def _next_time(began: float, share: float) -> float:
    """Return when something may be done again that has just been done, so that it takes such a share of the time."""
    now = time.monotonic()
    return now + (now - began) / share
