"""Owns the messages: a bag of hints from which any may be taken, twice or never."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.domain.hint import Hint


class Post:
    """In place of the broker, for publishers and for the sweeper that looks into the queues."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []

    def publish(self, hints: Sequence[Hint]) -> bool:
        """Keep the hints that tell of a run; those for the relay are its own affair."""
        self.hints.extend(hint for hint in hints if hint.run_id is not None)
        return True

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        """Return run and step of the oldest hint in a queue, None for an empty one."""
        return next(
            ((hint.run_id, hint.step_index) for hint in self.hints if hint.queue == queue and hint.run_id), None
        )
