"""A run that came to rest, for a test to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.client import Client
from agentflow.domain.step import Effect, StepStatus
from agentflow.store.database import Row
from agentflow.store.reads import RunRecord, StepRecord
from agentflow.testing.crashes import Call

# Twice under one key is once, by what these classes promise.
_ONCE_PER_KEY = {Effect.KEYED, Effect.IDEMPOTENT, Effect.VERIFIED}


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run, its steps, its queued messages, and the calls that reached its tools."""

    record: RunRecord
    steps: Sequence[StepRecord]
    outbox: Sequence[Row]
    transitions: Sequence[Row]
    calls: Sequence[Call] = field(repr=False)

    @classmethod
    def read(cls, client: Client, run_id: str, calls: Sequence[Call]) -> FinishedRun:
        """Read a run from the database."""
        return cls(
            client.get(run_id), client.steps(run_id), client.outbox(run_id), client.transitions(run_id), list(calls)
        )

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.run_id

    @property
    def status(self) -> str:
        """Where the run stands."""
        return self.record.status

    @property
    def result(self) -> Any:
        """What the run came to."""
        return self.record.result

    @property
    def error(self) -> Any:
        """Why the run failed: kind, message, step_index."""
        return self.record.error

    def effects(self, tool: str) -> int:
        """Return how many times a tool changed the world, by what the class of its effect promises.

        Calls under one key count once where the class says so; of a transactional tool the committed steps count.
        """
        calls = [call for call in self.calls if call.tool == tool]
        if any(call.effect == Effect.TRANSACTIONAL for call in calls):
            return sum(step.tool_name == tool and step.status == StepStatus.OK for step in self.steps)
        if any(call.effect in _ONCE_PER_KEY for call in calls):
            return len({call.key for call in calls})
        return len(calls)

    def attempts(self, tool: str) -> int:
        """Return how many attempts were made at a tool's steps."""
        return sum(step.attempt for step in self.steps if step.tool_name == tool)
