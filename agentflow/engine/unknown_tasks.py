"""Steps that reached a worker which does not know their task."""

from __future__ import annotations

from agentflow.domain.step import StepStatus
from agentflow.engine.refusing import UNSERVED_WAIT_S
from agentflow.engine.standing import settle_standing
from agentflow.store import runs, steps
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Database, Transaction


def park_unknown(database: Database, run_id: str, step_index: int, task_name: str) -> None:
    """Park a step for a worker that knows its task, and tell a person."""

    def body(tx: Transaction) -> None:
        locked = runs.lock(tx, run_id)
        step = steps.lock(tx, run_id, step_index) if locked else None
        if locked is None or step is None or step.status is not StepStatus.PENDING:
            return
        steps.park(tx, step, "unserved", UNSERVED_WAIT_S)
        settle_standing(tx, locked[0], "unserved", step_index)
        message = f"a worker of queue {step.queue!r} does not know the task {task_name!r}"
        raise_alert(tx, step.tenant, f"unserved:{task_name}", message, run_id=run_id, step_index=step_index)

    database.atomically(body)
