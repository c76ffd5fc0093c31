"""What is stored of a failure: kind, message, whether it happened, and what else is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.domain import payload
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, InDoubt, Retrying

# Known besides of some failures; the rest of what is stored are details of its own.
_SAID = ("status", "retry_after_s")
_OWN = frozenset({"kind", "message", "happened", *_SAID})


def error_of(outcome: AttemptOutcome) -> Mapping[str, Any] | None:
    """Return what is stored of a failure, None of a success."""
    match outcome:
        case Completed():
            return None
        case Failed(kind, message, happened, details):
            said = {name: getattr(outcome, name) for name in _SAID if getattr(outcome, name) is not None}
            return {"kind": kind, "message": payload.sanitise(message).value, "happened": happened, **said, **details}
        case Retrying(failed, after_s):
            return {**(error_of(failed) or {}), "retry_in_s": round(after_s, 3)}
        case InDoubt(kind, message, details):
            return {"kind": kind, "message": payload.sanitise(message).value, "happened": None, **details}


def doubt_of(failed: Failed) -> InDoubt:
    """Return a failure as a doubt that keeps all that is known of it."""
    known = {name: value for name, value in (error_of(failed) or {}).items() if name not in {"kind", "message"}}
    return InDoubt(failed.kind, failed.message, {**known, "happened": None})


def failed_of(error: Mapping[str, Any], *, happened: bool | None) -> Failed:
    """Return what was stored of a failure as one again, with what is known by now of whether it happened."""
    details = {name: value for name, value in error.items() if name not in _OWN}
    said = {name: error.get(name) for name in _SAID}
    return Failed(error["kind"], error["message"], happened, details, **said)
