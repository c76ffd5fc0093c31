"""Whether a failed call took effect, by the class of its effect and by what the tool itself says."""

from __future__ import annotations

from agentflow.domain.step import Effect

# Nothing of a read can happen, and a transactional tool's writes are taken back with its failure.
_NEVER = frozenset({Effect.READ, Effect.TRANSACTIONAL})


def happened(effect: Effect, *, said: bool | None) -> bool | None:
    """Answer True, False, or None where nobody can tell."""
    return False if effect in _NEVER else said
