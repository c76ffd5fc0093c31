"""Outcomes that came too late to be recorded: kept as evidence, and told to a person where something happened.

What they say to have happened is undone with the rest, where the run is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed
from agentflow.domain.run import Run
from agentflow.domain.step import Effect, Step, StepStatus
from agentflow.engine.failures import error_of
from agentflow.engine.runtime import Runtime
from agentflow.store import doubts, logs
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Transaction


def keep_late_outcome(runtime: Runtime, claim: Claim, outcome: AttemptOutcome) -> None:
    """Keep what a fenced-off attempt came to; alert where its effect took place all the same."""
    happened = isinstance(outcome, Completed) or (isinstance(outcome, Failed) and outcome.happened is True)
    evidence = {"output": outcome.output} if isinstance(outcome, Completed) else {"error": error_of(outcome)}

    def body(tx: Transaction) -> None:
        logs.keep_late_result(tx, claim, evidence)
        if happened and claim.step.effect is not Effect.READ:
            where = f"step {claim.step.step_index} of run {claim.run.run_id}"
            raise_alert(
                tx,
                claim.run.tenant,
                f"late_result:{claim.run.run_id}:{claim.step.step_index}:{claim.attempt}",
                f"attempt {claim.attempt} at {where} ({claim.step.tool_name}) did happen, after it was given up",
                run_id=claim.run.run_id,
                step_index=claim.step.step_index,
            )

    runtime.database.atomically(body)


def late_outputs(runtime: Runtime, run: Run, history: Sequence[Step]) -> Mapping[int, Any]:
    """Return what steps gave whose records came too late; nothing, without a question, where every effect is well."""
    if all(step.status is StepStatus.OK or step.effect is Effect.READ for step in history):
        return {}
    return runtime.database.glance(lambda tx: doubts.late_outputs(tx, run.run_id))
