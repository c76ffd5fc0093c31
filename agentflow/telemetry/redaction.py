"""What must not be shown: the passwords of URLs, wherever they turn up in a text."""

from __future__ import annotations

import re

_PASSWORD_IN_URL = re.compile(r"(?P<front>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@'\"]*):[^\s/@'\"]+@")


def without_passwords(text: str) -> str:
    """Return a text with the passwords of its URLs replaced."""
    return _PASSWORD_IN_URL.sub(r"\g<front>:***@", text)
