"""Values as a person reads them: durations, money, ages, and data in one short line."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """Return a span of time with its unit: `12 ms`, `3.4 s`, `2 min 5 s`."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    for unit, name, part, part_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            whole, rest = divmod(int(seconds), unit)
            return f"{whole} {name} {rest // part} {part_name}" if rest // part else f"{whole} {name}"
    return f"{seconds:.0f} s"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two moments; nothing where one is missing."""
    return duration((end - start).total_seconds()) if start and end else ""


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in its largest unit."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"


def money(cost_usd: Decimal | float | None) -> str:
    """Return dollars, with as many digits as a small sum needs."""
    if cost_usd is None:
        return ""
    amount = Decimal(str(cost_usd)).normalize()
    digits = 2 if amount == 0 or abs(amount) >= 1 else min(6, max(2, -amount.adjusted() + 1))
    return f"${amount:,.{digits}f}"


def moment(at: datetime) -> str:
    """Return a moment in this machine's time zone."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def printable(text: str) -> str:
    """Return a text whose control characters are written out, so that data can't steer a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def one_line(value: Any) -> str:
    """Return data as one line of JSON, a text as itself."""
    if isinstance(value, str):
        return printable(" ".join(value.split())) or '""'
    return printable(json.dumps(value, ensure_ascii=False, default=str))


def whole(value: Any) -> str:
    """Return data in full: a text as itself, anything else as indented JSON."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str))
