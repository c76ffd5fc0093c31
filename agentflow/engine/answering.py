"""Answering a failure: what the policy says of it, with the facts that it needs, made into an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from agentflow.declare.credential import Credential
from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import AttemptOutcome, Failed, Retrying
from agentflow.domain.response import GiveUp, LeaveInDoubt, RefreshCredential, Response, Retry, StopRun
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL
from agentflow.engine.credentials import Refresh, refresh_credential, refused_generation
from agentflow.engine.failures import doubt_of, failed_of
from agentflow.engine.runtime import Runtime
from agentflow.policy.budget import attempts_left_of
from agentflow.policy.response import Facts, decide_response
from agentflow.store.database import Row

# How long a step waits that needs a credential which another worker is fetching.
_REFRESH_WAIT_S = 1.0
_GENERATION = "credential_generation"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome to record; `stop` is why its run has to end with it."""

    outcome: AttemptOutcome
    stop: str | None = None


def answer(
    runtime: Runtime,
    claim: Claim,
    outcome: AttemptOutcome,
    *,
    earlier: Sequence[Row],
    lease_left_s: float,
    credential: Credential | None,
) -> Answer:
    """Return what an attempt's outcome comes to: a failure may be retried, be a doubt, or end the run."""
    if not isinstance(outcome, Failed):
        return Answer(outcome)
    generation = None
    if outcome.kind == ErrorKind.AUTH and credential is not None:
        generation = refused_generation(runtime, credential)
        outcome = replace(outcome, details={**outcome.details, _GENERATION: generation})
    facts = _facts(claim.run, claim.step, claim.attempt, lease_left_s, _counted(earlier, generation), credential)
    response = decide_response(outcome, facts, runtime.draw())
    if isinstance(response, RefreshCredential) and credential is not None and generation is not None:
        return _refreshed(runtime, outcome, credential, generation)
    return as_answer(outcome, response)


def answer_overrun(run: Run, step: LockedStep, earlier: Sequence[Row], lease_left_s: float, draw: float) -> Answer:
    """Return what becomes of a call that did not end in time, and whose process is gone or silent."""
    failed = Failed(ErrorKind.TIMEOUT, f"no answer within {step.timeout_s:g} s, nor to being interrupted", None)
    facts = _facts(run, step, step.attempt, lease_left_s, _counted(earlier, None), None)
    return as_answer(failed, decide_response(failed, facts, draw))


def answer_not_happened(
    run: Run, step: LockedStep, error: Mapping[str, Any], earlier: Sequence[Row], draw: float
) -> Answer:
    """Return what becomes of a call that failed, and of which a verification has found that it did not happen."""
    failed = failed_of(error, happened=False)
    facts = _facts(run, step, step.attempt, 0.0, _counted(earlier, None), None)
    return as_answer(failed, decide_response(failed, facts, draw))


def as_answer(failed: Failed, response: Response) -> Answer:
    """Return a response as the outcome that it makes of a failure."""
    match response:
        case Retry(after_s, reason):
            return Answer(Retrying(failed, after_s, reason))
        case LeaveInDoubt():
            return Answer(doubt_of(failed))
        case StopRun(reason):
            return Answer(failed, reason)
        case GiveUp() | RefreshCredential():
            return Answer(failed)
    assert_never(response)


def _refreshed(runtime: Runtime, failed: Failed, credential: Credential, generation: int) -> Answer:
    match refresh_credential(runtime, credential, generation):
        case Refresh.DONE:
            return Answer(Retrying(failed, 0.0, "retry_auth"))
        case Refresh.UNDERWAY:
            return Answer(Retrying(failed, _REFRESH_WAIT_S, "retry_auth"))
        case _:
            message = f"{failed.message}; and {credential.name!r} could not be refreshed"
            return Answer(replace(failed, message=message))


def _facts(
    run: Run,
    step: LockedStep,
    attempt: int,
    lease_left_s: float,
    earlier: Mapping[str, int],
    credential: Credential | None,
) -> Facts:
    return Facts(
        effect=step.effect,
        attempt=attempt,
        earlier=earlier,
        attempts_left=attempts_left_of(run, step, attempt),
        lease_left_s=lease_left_s,
        is_model=step.tool_name == MODEL,
        has_credential=credential is not None,
    )


def _counted(earlier: Sequence[Row], refused: int | None) -> dict[str, int]:
    """Count earlier failures by kind.

    Where a credential of generation `refused` was refused now, an earlier refusal of that very one counts for nothing:
    there is none yet that is newer.
    """
    counted: dict[str, Any] = {}
    for row in earlier:
        is_older = row["generation"] is None or refused is None or row["generation"] < refused
        if row["kind"] == ErrorKind.AUTH and not is_older:
            continue
        counted[row["kind"]] = counted.get(row["kind"], 0) + row["failures"]
    return counted
