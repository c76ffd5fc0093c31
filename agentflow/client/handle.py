"""A handle on one submitted run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentflow.domain.errors import RunFailed
from agentflow.domain.run import RunStatus
from agentflow.store.reads import RunRecord

if TYPE_CHECKING:
    from agentflow.client.client import Client


@dataclass(frozen=True, slots=True)
class RunHandle:
    """A run that was submitted; `created` is False where its idempotency key was used before."""

    client: Client = field(repr=False, compare=False)
    run_id: str
    created: bool = True

    def get(self) -> RunRecord:
        """Return the run as it stands."""
        return self.client.get(self.run_id)

    def wait(self, timeout_s: float | None = None) -> RunRecord:
        """Wait until the run has ended, however it did, and return it; raise WaitTimeout."""
        return self.client.wait(self.run_id, timeout_s=timeout_s)

    def cancel(self, *, compensate: bool = False, by: str | None = None, reason: str | None = None) -> None:
        """Stop the run, and undo what it did if asked; raise InterventionRefused where it has ended."""
        self.client.operations.cancel(self.run_id, compensate=compensate, by=by, reason=reason)

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the run and return its result; raise RunFailed where it did not end `done`, WaitTimeout."""
        run = self.wait(timeout_s)
        if run.status != RunStatus.DONE:
            error = run.error or {}
            raise RunFailed(f"run {self.run_id} ended {run.status}: {error.get('message', run.stop_requested)}")
        return run.result
