"""Credentials at work: reading them, and refreshing one that was refused, once across the fleet."""

from __future__ import annotations

from enum import StrEnum

import structlog

from agentflow.declare.credential import Credential
from agentflow.engine.runtime import Runtime
from agentflow.store import credentials

log = structlog.get_logger("agentflow.credentials")

# Longer than any refresh may take: after it another worker tries.
_HOLD_S = 30.0


class Refresh(StrEnum):
    """What became of a refresh."""

    DONE = "done"
    UNDERWAY = "underway"
    FAILED = "failed"


def read_secret(runtime: Runtime, credential: Credential) -> str:
    """Return a credential's secret, as this process has read it."""
    return runtime.credentials.get(credential, lambda: generation_of(runtime, credential))


def generation_of(runtime: Runtime, credential: Credential) -> int:
    """Return how often the fleet has refreshed a credential."""
    return runtime.database.glance(lambda tx: credentials.generation(tx, credential.name))


def refused_generation(runtime: Runtime, credential: Credential) -> int:
    """Return the generation that this thread's call was refused with; the fleet's own where it read none by `ctx`."""
    used = runtime.credentials.used_generation(credential)
    return generation_of(runtime, credential) if used is None else used


def refresh_credential(runtime: Runtime, credential: Credential, seen: int) -> Refresh:
    """Have a new secret fetched where that of generation `seen` was refused, unless others did so, or are at it."""
    runtime.credentials.forget(credential)
    if generation_of(runtime, credential) > seen:
        return Refresh.DONE
    worker_id, name = runtime.worker.worker_id, credential.name
    begun = runtime.database.atomically(
        lambda tx: credentials.begin_refresh(tx, name, worker_id, seen=seen, hold_s=_HOLD_S)
    )
    if not begun:
        return Refresh.DONE if generation_of(runtime, credential) > seen else Refresh.UNDERWAY
    error = _call_refresher(credential)
    runtime.database.atomically(lambda tx: credentials.end_refresh(tx, name, worker_id, error))
    log.info("credential_refreshed", credential=name, error=error)
    return Refresh.DONE if error is None else Refresh.FAILED


def _call_refresher(credential: Credential) -> str | None:
    if credential.refresher is None:
        return None
    try:
        credential.refresher()
    except Exception as error:  # noqa: BLE001 - the refresh is the user's code; its failure is the step's
        # Its text may hold what it was about to store.
        return type(error).__name__
    return None
