"""How long the other side wants to be left alone: `retry-after-ms`, and `Retry-After` in seconds or as a date."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WISH_S = 3_600.0
"""Nobody is left alone for longer than an hour: what is asked for beyond it is cut."""

MAX_TEXT = 64
"""No number and no date is longer; a longer header is not even looked at."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, or None where nothing usable is said: a past date, zero, nonsense."""
    wishes = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    milliseconds = _read_number(wishes.get("retry-after-ms", ""))
    wish = None if milliseconds is None else bound_wish(milliseconds / 1000)
    if wish is not None:
        return wish
    text = wishes.get("retry-after", "")
    seconds = _read_number(text)
    return bound_wish(_read_date(text, now) if seconds is None else seconds)


def bound_wish(seconds: float | None) -> float | None:
    """A wish that can be granted: above zero, and cut at an hour; None for any other."""
    # No comparison holds for NaN, and an integer may be too large for a float.
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        return None
    return float(min(seconds, MAX_WISH_S))


def _read_number(text: str) -> float | None:
    return float(text) if len(text) <= MAX_TEXT and _NUMBER.fullmatch(text) else None


def _read_date(text: str, now: datetime) -> float | None:
    if len(text) > MAX_TEXT:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    # The oldest of the three forms of an HTTP date names no zone and means UTC.
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
