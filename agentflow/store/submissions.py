"""Submitting a run: on a connection of our own, or inside somebody else's transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentflow.domain import payload
from agentflow.domain.errors import IdempotencyConflict

# Runs a named statement with its parameters and returns its rows, on whatever connection the caller has.
RunStatement = Callable[[str, Mapping[str, Any]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Submission:
    """A run as it is submitted: its start is hinted in the one queue, its later decisions in the other.

    `hinted` says that the submitter publishes the first hint, after the commit.
    """

    run_id: str
    tenant: str
    user_id: str | None
    agent: str
    agent_version: str
    queue: str
    start_queue: str
    input: payload.Payload
    conversation_id: str | None
    idempotency_key: str | None
    budget: Mapping[str, Any]
    fallback: str
    on_failure: str
    notify: Mapping[str, Any] | None
    not_before: datetime | None
    hinted: bool


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run that a submission came to; `created` is False where its idempotency key was used before."""

    run_id: str
    created: bool


def submit(run_statement: RunStatement, submission: Submission) -> Submitted:
    """Insert a run, or find the one that its idempotency key belongs to; raise IdempotencyConflict for other input."""
    input_hash = payload.digest([submission.agent, submission.input.value])
    inserted = run_statement(
        "submit_run",
        {
            "run_id": submission.run_id,
            "tenant": submission.tenant,
            "user_id": submission.user_id,
            "agent": submission.agent,
            "agent_version": submission.agent_version,
            "queue": submission.queue,
            "start_queue": submission.start_queue,
            "input": payload.dumps(submission.input.value),
            "input_hash": input_hash,
            "conversation_id": submission.conversation_id,
            "idempotency_key": submission.idempotency_key,
            "budget": payload.dumps(dict(submission.budget)),
            "fallback": submission.fallback,
            "on_failure": submission.on_failure,
            "notify": None if submission.notify is None else payload.dumps(dict(submission.notify)),
            "not_before": submission.not_before,
            "hinted": submission.hinted,
            "flags": list(submission.input.flags),
        },
    )
    if inserted:
        return Submitted(submission.run_id, created=True)
    found = run_statement(
        "submitted_before",
        {
            "run_id": submission.run_id,
            "tenant": submission.tenant,
            "idempotency_key": submission.idempotency_key,
        },
    )
    run_id = str(found[0]["run_id"]) if found else None
    if run_id == submission.run_id:
        # An earlier try at this transaction did commit; only its answer was lost.
        return Submitted(submission.run_id, created=True)
    if run_id is None or bytes(found[0]["input_hash"]) != input_hash:
        key = submission.idempotency_key
        raise IdempotencyConflict(f"the idempotency key {key!r} was used with another agent or input; use a new key")
    return Submitted(run_id, created=False)
