"""What a kind, and a status beside it, say of whether a failed call took effect."""

from __future__ import annotations

from agentflow.domain.failure import ErrorKind

REFUSALS = frozenset(
    {
        ErrorKind.RATE_LIMITED,
        ErrorKind.AUTH,
        ErrorKind.BAD_INPUT,
        ErrorKind.QUOTA,
        ErrorKind.CONTEXT_OVERFLOW,
        ErrorKind.REFUSED,
    }
)
"""The other side said no: nothing happened."""

UNPROCESSED = frozenset({408, 425, 503, 529})
"""Statuses of a server that turned the request away before it acted on it."""


def known_kind(word: object) -> ErrorKind | None:
    """The kind of that word, or None where there is none."""
    return next((kind for kind in ErrorKind if kind == word), None) if isinstance(word, str) else None


def known_status(status: object) -> int | None:
    """The HTTP status that it is, or None where it is none."""
    return status if isinstance(status, int) and 100 <= status <= 999 else None


def happened_by(kind: str, status: int | None = None) -> bool | None:
    """False where the kind or the status is a refusal, None where nobody can tell."""
    return False if kind in REFUSALS or known_status(status) in UNPROCESSED else None
