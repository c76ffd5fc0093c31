"""Joining what a step noted with what its siblings noted meanwhile, under their run's lock."""

from __future__ import annotations

from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed
from agentflow.domain.run import Run
from agentflow.policy.happening import happened
from agentflow.policy.scratchpad import conflicting_keys


def join_scratchpad(claim: Claim, run: Run, outcome: AttemptOutcome) -> AttemptOutcome:
    """Return the outcome, or the failure of a step that changed a key which a sibling has changed since its claim.

    What the step gave is kept in the failure: its effect has taken place, and is not forgotten.
    """
    if not isinstance(outcome, Completed):
        return outcome
    keys = conflicting_keys(claim.run.scratchpad, run.scratchpad, outcome.scratchpad)
    if not keys:
        return outcome
    names = ", ".join(map(repr, keys))
    message = f"another step changed {names} of the scratchpad meanwhile; give each step keys of its own"
    took_effect = happened(claim.step.effect, said=True)
    return Failed("scratchpad_conflict", message, took_effect, {"keys": keys, "output": outcome.output})
