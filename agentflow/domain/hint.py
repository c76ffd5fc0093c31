"""A hint: the message that tells a worker to look at a step, a run, or the outbox.

It carries ids. What it says about a step beside them is never believed: it saves a look before the gate is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

ADVANCE_TASK = "coordinator.advance"


@dataclass(frozen=True, slots=True)
class About:
    """What a step that has just been added is: whose, which tool, in which bulkhead. Nobody has tried it yet."""

    agent: str
    tool_name: str
    bulkhead: str | None


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a hint goes, and what it says: without a step, a run's next decision; without a run, a relay's turn."""

    task_name: str
    queue: str
    run_id: str | None = None
    step_index: int | None = None
    about: About | None = field(default=None, compare=False)


def advance_hint(run_id: str, queue: str) -> Hint:
    """Return the hint that asks for a run's next decision."""
    return Hint(ADVANCE_TASK, queue, run_id)


def relay_hint(kind: str) -> Hint:
    """Return the hint that has a relay look for messages of a kind; its task and its queue have one name."""
    return Hint(f"outbox.{kind}", f"outbox.{kind}")


class HintPublisher(Protocol):
    """Something that brings hints to workers."""

    def publish(self, hints: Sequence[Hint]) -> bool:
        """Publish without waiting; return False where it could not, which the sweeper makes good."""
        ...


class HintQueues(Protocol):
    """Something that can look into the queues without taking anything out."""

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        """Return run and step of the oldest hint in a queue, None for an empty one.

        Raise LookupError where what stands there is no hint, OSError where the queues are out of reach.
        """
        ...
