"""Whether a failed call took effect, by the class of its effect and by what the tool itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.domain.step import Effect

# Nothing of a read can happen, and a transactional tool's writes are taken back with its failure.
_NEVER = frozenset({Effect.READ, Effect.TRANSACTIONAL})
# They are tried again while nobody knows of the attempt before; of the others that is settled first.
_REPEATED = frozenset({Effect.KEYED, Effect.IDEMPOTENT})


def happened(effect: Effect, *, said: bool | None) -> bool | None:
    """Answer True, False, or None where nobody can tell."""
    return False if effect in _NEVER else said


def may_have_before(effect: Effect, earlier: Mapping[str, Any] | None) -> bool:
    """Answer whether a step's attempts up to now may have happened, by the error that is stored of them.

    A later attempt that is certainly refused takes back nothing of that.
    """
    return effect in _REPEATED and earlier is not None and earlier.get("happened", False) is not False
