"""What is kept of an error's text: enough for a person, never a body of ten megabytes."""

from __future__ import annotations

MAX_MESSAGE = 8_000
"""Characters of a failure's message."""

_CUT = "... (the rest is left out)"


def excerpt(text: str) -> str:
    """The text, or as much of its beginning as fits and a word that there was more."""
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - len(_CUT)] + _CUT


def text_of(error: BaseException) -> str:
    """An exception's text; nothing where it cannot even be printed."""
    return excerpt(_print(error))


def describe(error: BaseException) -> str:
    """An exception's type and text."""
    name, text = type(error).__name__, _print(error)
    return excerpt(f"{name}: {text}" if text else name)


def _print(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's own __str__ may do anything, and its error must be told all the same
        return ""
