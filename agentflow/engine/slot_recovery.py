"""Recovery of the gate's slots: a dead worker gives back what none of its claimed steps and messages stands for."""

from __future__ import annotations

from functools import partial

import structlog

from agentflow.gate.protocol import Gate
from agentflow.store import workers
from agentflow.store.database import Database
from agentflow.store.workers import DeadWorker, Judge

log = structlog.get_logger("agentflow.gate")


class SlotRecovery:
    """What one worker's sweeper does for the gate, once for each worker that it finds dead.

    A step that the dead worker has still claimed keeps its slot: a frozen worker may be in its call. Taking the step
    back gives that slot back.
    """

    def __init__(self, database: Database, gate: Gate, judge: Judge) -> None:
        self._database = database
        self._gate = gate
        self._judge = judge
        self._seen: frozenset[DeadWorker] = frozenset()

    def sweep(self) -> None:
        """Look for dead workers, and take back the slots of those that were not known as such."""
        dead = frozenset(self._database.glance(lambda tx: workers.dead(tx, self._judge)))
        self._seen &= dead
        for worker in dead - self._seen:
            try:
                self._take_back(worker.worker_id)
            except OSError as error:
                log.warning("slots_out_of_reach", worker_id=worker.worker_id, error=str(error))
                return
            self._seen |= {worker}

    def _take_back(self, worker_id: str) -> None:
        bulkheads = self._database.glance(partial(workers.bulkheads_of, worker_id=worker_id))
        held = self._gate.held(bulkheads, worker_id)
        if not held:
            return
        # Asked after the slots are read: what was claimed in between is spared, what was recorded gave its slot back.
        claimed = self._database.glance(partial(workers.claims_of, worker_id=worker_id))
        left = {each for each in held if (each.run_id, each.step_index) not in claimed}
        for each in left:
            self._gate.evict(each.bulkhead, each.run_id, each.step_index, worker_id)
        log.warning("slots_taken_back", worker_id=worker_id, slots=len(left), kept=len(held) - len(left))
