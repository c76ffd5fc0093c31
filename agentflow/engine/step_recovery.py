"""Recovery of steps: those whose worker or process is gone are taken back, and hinted where somebody serves them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from agentflow.domain.hint import Hint, HintPublisher
from agentflow.engine.recovery import QUARANTINE_QUEUE, take_back
from agentflow.engine.served import ServedQueues
from agentflow.gate.protocol import Gate
from agentflow.policy.recovery import Evidence
from agentflow.store import sweeps
from agentflow.store.database import Database, Transaction
from agentflow.store.sweeps import LostStep

log = structlog.get_logger("agentflow.sweeper")


class StepRecovery:
    """What one worker's sweeper, and its word on its own children, do for lost steps."""

    def __init__(self, database: Database, hints: HintPublisher, gate: Gate, served: ServedQueues) -> None:
        self._database = database
        self._hints = hints
        self._gate = gate
        self._served = served

    def take_back(self, lost: Sequence[LostStep], *, until: float = float("inf")) -> bool:
        """Take steps back, each in a transaction; False where that time of the monotonic clock came before the end."""
        for step in lost:
            if time.monotonic() > until:
                return False
            hints = self._database.atomically(partial(_take_back, step=step))
            if hints is None:
                continue
            if step.bulkhead is not None:
                self._gate.evict(step.bulkhead, step.run_id, step.step_index)
            log.warning("attempt_lost", run_id=step.run_id, step_index=step.step_index, evidence=step.evidence)
            self._hints.publish([self._routed(hint) for hint in hints])
        return True

    def _routed(self, hint: Hint) -> Hint:
        """Return a taken back step's hint for a queue that somebody serves: its own, or quarantine's for the other."""
        run_id, step_index = hint.run_id, hint.step_index
        if run_id is None or step_index is None or self._served.has(hint.queue):
            return hint
        if hint.queue != QUARANTINE_QUEUE:
            return replace(hint, queue=QUARANTINE_QUEUE) if self._served.has(QUARANTINE_QUEUE) else hint
        own = self._database.glance(lambda tx: sweeps.queue_of(tx, run_id, step_index))
        return replace(hint, queue=own)


def _take_back(tx: Transaction, *, step: LostStep) -> list[Hint] | None:
    draw = random.random()  # noqa: S311
    return take_back(tx, step.run_id, step.step_index, step.attempt, Evidence(step.evidence), draw=draw)
