"""What a parked step waits for, machine-readable."""

from __future__ import annotations

TOOL_PAUSED = "tool_paused"

# The gate has denied the step: it is woken when there is room, at most as many steps as fit.
GATED = (
    "breaker_open",
    "throttled",
    "rate_limit",
    "slots_full",
    "pool_full",
    "retry_budget",
    "gate_unavailable",
    TOOL_PAUSED,
)
