"""How a value that is refused is quoted in the refusal: in brief, and whatever it is."""

from __future__ import annotations

LONGEST = 120


def quoted(value: object) -> str:
    """Return a value as Python writes it, cut where it is long; its type alone where it cannot be written."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an integer may have too many digits, a user's own type may raise anything
        return f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
