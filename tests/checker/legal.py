"""Owns the checker's own table of what a run's status may become, from docs/states.md and not from the code."""

from __future__ import annotations

from collections.abc import Mapping

_FINAL = frozenset({"done", "failed", "cancelled"})
_OPEN = frozenset({"running", "waiting_tool", "waiting_human", "compensating", "paused"})

NEXT: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"pending"}),
    "pending": _OPEN | _FINAL,
    "running": (_OPEN | _FINAL) - {"running"},
    "waiting_tool": (_OPEN | _FINAL) - {"waiting_tool"},
    "waiting_human": (_OPEN | _FINAL) - {"waiting_human"},
    "compensating": (_OPEN | _FINAL) - {"compensating"},
    "paused": (_OPEN | _FINAL | {"pending"}) - {"paused"},
    "done": frozenset(),
    "failed": frozenset({"running", "compensating"}),
    "cancelled": frozenset({"compensating"}),
}

# Only a person takes up again what was over.
REOPENED = frozenset({"failed", "cancelled"})
