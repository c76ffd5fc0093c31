"""How a bulkhead's standing is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow.cli.bulkheads import hold_line, slots_of, state_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HELD = {"bulkhead": "pay", "reason": "maintenance", "held_by": "ada", "held_at": NOW - timedelta(hours=2)}


def a_gate(**changes: Any) -> dict[str, Any]:
    closed = {"breaker": "closed", "open_for_s": 0.0, "reason": None, "throttled_for_s": 0.0, "in_use": 3, "slots": 8}
    return {**closed, **changes}


def a_row(gate: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    return {"name": "pay", "held": None, "gate": gate, "limits": {"slots": 8}, **changes}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (a_row(a_gate()), "ok"),
        (a_row(a_gate(), held=HELD), "paused"),
        (a_row(a_gate(breaker="open", open_for_s=90, reason="quota")), "breaker open for 1 min 30 s (quota)"),
        (a_row(a_gate(breaker="half_open")), "breaker half open"),
        (a_row(a_gate(throttled_for_s=2.5)), "throttled for 2.5 s"),
        (a_row(a_gate(breaker="open", open_for_s=9), held=HELD), "paused, breaker open for 9.0 s"),
        (a_row(None), "breaker unknown"),
        (a_row(None, held=HELD), "paused, breaker unknown"),
    ],
    ids=["ok", "paused", "open", "half open", "throttled", "paused and open", "no Redis", "paused and no Redis"],
)
def test_state_says_everything_that_keeps_calls_from_beginning(row: dict[str, Any], says: str) -> None:
    assert state_of(row) == says


@pytest.mark.parametrize(
    ("gate", "says"),
    [(a_gate(), "3/8"), (a_gate(slots=2), "3/2 of 8"), (a_gate(slots=0, in_use=0), "0/8"), (None, "")],
    ids=["all", "fewer for a while", "nobody has called yet", "no Redis"],
)
def test_slots_are_those_in_use_of_those_there_are(gate: dict[str, Any] | None, says: str) -> None:
    assert slots_of(a_row(gate)) == says


def test_hold_says_who_since_when_and_why() -> None:
    said = hold_line(a_row(None, held=HELD), NOW)
    assert said.startswith("pay is paused by ada since ")
    assert said.endswith(" (2 h ago): maintenance")
