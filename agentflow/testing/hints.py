"""Hints that stay in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from agentflow.domain.hint import Hint


class CollectedHints:
    """A queue in memory, in place of the broker; `lossy` loses every hint, as a flushed Redis does."""

    def __init__(self, *, lossy: bool = False) -> None:
        self.lossy = lossy
        self._waiting: deque[Hint] = deque()

    def publish(self, hints: Sequence[Hint]) -> bool:
        """Keep the hints, or lose them."""
        if not self.lossy:
            self._waiting.extend(hints)
        return True

    def take(self) -> Hint | None:
        """Return the oldest hint, None where there is none."""
        return self._waiting.popleft() if self._waiting else None

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        """Return run and step of the oldest hint in a queue, None for an empty one; raise LookupError for a relay's."""
        for hint in self._waiting:
            if hint.queue == queue:
                if hint.run_id is None:
                    raise LookupError(f"a hint of no run stands in {queue!r}")
                return hint.run_id, hint.step_index
        return None
