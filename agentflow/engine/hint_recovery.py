"""Recovery of hints: what is due and has no message is hinted again, and denied steps as the gate has room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

import structlog

from agentflow.domain.hint import Hint, HintPublisher, HintQueues
from agentflow.engine.recovery import QUARANTINE_QUEUE
from agentflow.engine.served import ServedQueues
from agentflow.gate.protocol import Gate
from agentflow.store import sweeps
from agentflow.store.database import Database
from agentflow.store.sweeps import Hintable

log = structlog.get_logger("agentflow.sweeper")


class _Unknown(Enum):
    AGE = "age"


class HintRecovery:
    """What one worker's sweeper does for steps and runs that are due. At most `most` at a time, of either."""

    def __init__(
        self,
        database: Database,
        hints: HintPublisher,
        queues: HintQueues,
        gate: Gate,
        served: ServedQueues,
        *,
        most: int,
    ) -> None:
        self._database = database
        self._hints = hints
        self._queues = queues
        self._gate = gate
        self._served = served
        self._most = most

    def hint_forgotten(self, *, grace_s: float, within_s: float) -> bool:
        """Hint what is due and has no message; False where there may be more than fits into one go."""
        due = self._database.atomically(
            lambda tx: sweeps.hintable(tx, grace_s=grace_s, within_s=within_s, most=self._most)
        )
        hints = [(each, self._hint_of(each)) for each in due]
        try:
            lost_before = {queue: self._lost_before(queue) for queue in {hint.queue for _, hint in hints}}
        except OSError as error:
            log.warning("queues_out_of_reach", error=str(error))
            return True
        lost = [each for each, hint in hints if _is_lost(each, lost_before[hint.queue])]
        marked = self._database.atomically(lambda tx: sweeps.mark_hinted(tx, lost)) if lost else ()
        # Where nothing came of it the next go would find the same.
        return not (self._publish(marked) and marked) or len(due) < self._most

    def admit_waiting(self, crowded: Sequence[str], *, grace_s: float) -> None:
        """Hint steps that the gate has denied, at most as many as it has room for: a herd would be denied again."""
        rooms = {name: min(room, self._most) for name, room in self._gate.capacity(crowded).items() if room > 0}
        if rooms:
            self._publish(self._database.glance(lambda tx: sweeps.hint_next_in_line(tx, rooms, grace_s=grace_s)))

    def _publish(self, chosen: Sequence[Hintable]) -> bool:
        return self._hints.publish([self._hint_of(each) for each in chosen])

    def _hint_of(self, each: Hintable) -> Hint:
        queue = QUARANTINE_QUEUE if each.quarantined and self._served.has(QUARANTINE_QUEUE) else each.queue
        return Hint(each.task_name, queue, each.run_id, each.step_index)

    def _lost_before(self, queue: str) -> datetime | _Unknown | None:
        """Return the time before which every hint in this queue is gone: queues are FIFO. None for an empty queue."""
        try:
            oldest = self._queues.oldest(queue)
        except LookupError:
            return _Unknown.AGE
        if oldest is None:
            return None
        run_id, step_index = oldest
        return self._database.glance(lambda tx: sweeps.hinted_at(tx, run_id, step_index)) or _Unknown.AGE


def _is_lost(each: Hintable, lost_before: datetime | _Unknown | None) -> bool:
    if each.hinted_at is None or lost_before is None:
        return True
    return lost_before is not _Unknown.AGE and each.hinted_at < lost_before
