"""An operator's order: on whose word a run is moved, the lock that it takes first, and what is written down of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentflow.domain.errors import InterventionRefused, RunNotFound
from agentflow.domain.identity import new_token
from agentflow.domain.run import Run
from agentflow.policy.person import checked_name, checked_reason
from agentflow.store import interventions, operations, runs
from agentflow.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Order:
    """Who has a tenant's run moved, and why. By its id a commit whose answer was lost is known again."""

    tenant: str
    by: str
    reason: str | None
    order_id: str

    @classmethod
    def of(cls, tenant: str, by: object, reason: object = None) -> Order:
        """Return a new order; raise InterventionRefused where it is by nobody."""
        return cls(tenant, checked_name(by), checked_reason(reason), new_token())

    def lock(self, tx: Transaction, run_id: str) -> tuple[Run, datetime]:
        """Lock the run that the order is about, and return it with the database's time; raise RunNotFound."""
        locked = runs.lock(tx, run_id)
        if locked is None or locked[0].tenant != self.tenant:
            raise RunNotFound(f"there is no run {run_id!r}; `agentflow runs list` shows those there are")
        return locked

    def was_done(self, tx: Transaction, run: Run) -> bool:
        """Tell whether an earlier try at this transaction did commit."""
        return operations.was_done(tx, run.run_id, self.order_id)

    def note(self, tx: Transaction, run: Run, act: str, *, step_index: int | None = None, **details: object) -> None:
        """Write down that it was carried out on a locked run; details that are None say nothing."""
        said: Mapping[str, Any] = {name: value for name, value in details.items() if value is not None}
        interventions.note(
            tx,
            tenant=run.tenant,
            run_id=run.run_id,
            step_index=step_index,
            act=act,
            by=self.by,
            reason=self.reason,
            details={**said, "order_id": self.order_id},
        )


def refused(run_id: str, why: str) -> InterventionRefused:
    """Return the refusal of an order on a run."""
    return InterventionRefused(f"run {run_id!r}: {why}; nothing was changed")
