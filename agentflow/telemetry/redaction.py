"""What must not be shown: passwords in URLs, and on its way to others, whatever else looks like a secret."""

from __future__ import annotations

import re

# Every repetition has its bound: a text of a megabyte without a space must not cost a second.
_PASSWORD_IN_URL = re.compile(r"(?P<front>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s:/@'\"]*):[^\s/@'\"]+@")
_QUERY_OF_URL = re.compile(r"(?P<front>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s?'\"]{0,500})\?[^\s'\"]+")
_NAMED_SECRET = re.compile(
    r"(?P<front>(?:passw(?:or)?d|secret|token(?!s)|api[_-]?key|authorization|cookie|credential)"
    r"[\w-]{0,30}['\"]?\s{0,3}[:=]\s{0,3}(?:(?:bearer|basic)\s+)?['\"]?)(?!(?:bearer|basic)\s)[^\s'\",;&}]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<front>\bbearer\s+)(?=\S{0,200}\d)[\w.~+/=-]{8,}", re.IGNORECASE)
# The shapes in which providers hand out keys: sk-..., xoxb-..., ghp_..., AKIA..., JSON web tokens.
_KEY = re.compile(
    r"\b(?:(?:sk|pk|rk|xox[a-z]|gh[a-z]|glpat|whsec)[-_][\w-]{8,}|AKIA[0-9A-Z]{12,}"
    r"|eyJ[\w-]{8,500}\.[\w-]{1,2000}\.[\w-]*)"
)


def without_passwords(text: str) -> str:
    """Return a text with the passwords of its URLs replaced."""
    return _PASSWORD_IN_URL.sub(r"\g<front>:***@", text)


def without_secrets(text: str) -> str:
    """Return a text for eyes outside: no passwords or queries of URLs, no tokens, no keys."""
    text = _QUERY_OF_URL.sub(r"\g<front>?***", without_passwords(text))
    text = _NAMED_SECRET.sub(r"\g<front>***", text)
    return _KEY.sub("***", _BEARER.sub(r"\g<front>***", text))
