"""Which failures leave a doubt: where a call may have happened, and its class has no way to go on."""

from __future__ import annotations

from agentflow.domain.outcome import AttemptOutcome, Failed, InDoubt
from agentflow.domain.step import Effect

# Nothing of a read can happen, and a transactional tool's writes are taken back with its failure.
_NEVER = frozenset({Effect.READ, Effect.TRANSACTIONAL})
_DOUBTFUL = frozenset({Effect.UNSAFE, Effect.VERIFIED})


def happened(effect: Effect, *, said: bool | None) -> bool | None:
    """Answer whether a failed call took effect, by its class and by what the tool itself says."""
    return False if effect in _NEVER else said


def doubt(effect: Effect, outcome: AttemptOutcome) -> AttemptOutcome:
    """Return the outcome, or the doubt that a "maybe" is in a class where a second call could do it twice."""
    match outcome:
        case Failed(kind, message, happened=None) if effect in _DOUBTFUL:
            return InDoubt(kind, message)
        case _:
            return outcome
