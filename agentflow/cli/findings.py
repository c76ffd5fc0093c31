"""One finding of `agentflow doctor`, and how far two clocks may be apart before it is one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from agentflow.cli.figures import duration

_SKEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` says what to do where it is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    says: str
    mend: str = ""


def clock_skew(database_now: datetime) -> Finding | None:
    """Return a finding where this machine's clock is far from the database's."""
    skew = abs((datetime.now(UTC) - database_now).total_seconds())
    if skew < _SKEW_S:
        return None
    says = f"this machine's clock is {duration(skew)} from the database's"
    return Finding(
        "warn", "clock", says, "leases use the database's, but times in logs will not fit: set the clock (NTP)"
    )
