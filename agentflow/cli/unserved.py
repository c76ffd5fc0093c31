"""Which queues a run waits in that no live worker serves."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.client import Client
from agentflow.engine.sweeper import DEAD_S
from agentflow.store import workers
from agentflow.store.reads import RunRecord, StepRecord


def unserved_queues(client: Client, run: RunRecord, steps: Sequence[StepRecord]) -> list[str]:
    """Return the queues that the run's next hints go to and nobody takes them from."""
    needed = {step.queue for step in steps if step.status == "pending"}
    if all(step.finished_at for step in steps):
        needed.add(run.queue if steps else run.start_queue or run.queue)
    with client.database.transaction() as tx:
        return sorted(needed - workers.served_queues(tx, DEAD_S))


def say_unserved(queues: Sequence[str]) -> str:
    """Return the line that says so."""
    named = ", ".join(map(repr, queues))
    return (
        f"no worker serves {'queue' if len(queues) == 1 else 'the queues'} {named}: the run waits until one does "
        "(start `agentflow dev`, or `agentflow worker POOL`)"
    )
