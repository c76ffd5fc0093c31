"""The logs in Postgres: attempts, model calls with their messages, late results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain import payload
from agentflow.domain.claim import Claim, LockedStep
from agentflow.domain.message import chain
from agentflow.domain.outcome import ModelCallLog
from agentflow.store.database import Transaction


def end_attempt(
    tx: Transaction,
    step: LockedStep,
    status: str,
    *,
    error: Mapping[str, Any] | None = None,
    latency_ms: float | None = None,
) -> None:
    """Write how the step's present attempt ended."""
    tx.write(
        "end_attempt",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        status=status,
        error=None if error is None else payload.dumps(error),
        latency_ms=latency_ms,
    )


def keep_late_result(tx: Transaction, claim: Claim, late_result: Mapping[str, Any]) -> None:
    """Keep what an attempt came to whose record the fence refused."""
    tx.write(
        "keep_late_result",
        run_id=claim.run.run_id,
        step_index=claim.step.step_index,
        attempt=claim.attempt,
        claim_token=claim.token,
        late_result=payload.dumps(late_result),
    )


def model_call(tx: Transaction, claim: Claim, call: ModelCallLog, latency_ms: float) -> None:
    """Write a model call; of its prompt, the messages that are not kept yet."""
    head = _keep_messages(tx, claim.run.tenant, call.prompt)
    tx.write(
        "log_model_call",
        run_id=claim.run.run_id,
        step_index=claim.step.step_index,
        attempt=claim.attempt,
        tenant=claim.run.tenant,
        model=call.model,
        response_model=call.response_model,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        cost_usd=call.cost_usd,
        latency_ms=latency_ms,
        prompt_head=head,
        response=None if call.response is None else payload.dumps(call.response),
        finish_reason=call.finish_reason,
        error=None if call.error is None else payload.dumps(call.error),
    )


def lost_model_call(tx: Transaction, step: LockedStep) -> None:
    """Write a model call that nobody knows the answer of, at all that was reserved for it."""
    tx.write(
        "log_model_call",
        run_id=step.run_id,
        step_index=step.step_index,
        attempt=step.attempt,
        tenant=step.tenant,
        model=step.bulkhead or "unknown",
        response_model=None,
        prompt_tokens=step.reserved.tokens,
        completion_tokens=0,
        cost_usd=step.reserved.cost_usd,
        latency_ms=None,
        prompt_head=None,
        response=None,
        finish_reason=None,
        error=payload.dumps({"kind": "lost", "message": "its attempt was lost; charged at what was reserved for it"}),
    )


def _keep_messages(tx: Transaction, tenant: str, prompt: Sequence[Mapping[str, Any]]) -> bytes | None:
    bodies = [dict(body) for body in prompt]
    hashes = chain(bodies)
    known = {bytes(row["hash"]) for row in tx.rows("known_messages", tenant=tenant, hashes=hashes)}
    parents = [None, *hashes[:-1]]
    rows = [
        {"tenant": tenant, "hash": each, "parent": parent, "body": payload.dumps(body)}
        for each, parent, body in zip(hashes, parents, bodies, strict=True)
        if each not in known
    ]
    tx.write_each("insert_message", rows)
    return hashes[-1] if hashes else None
