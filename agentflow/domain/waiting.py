"""What steps wait for, machine-readable: the gate, a person, the answer of a verification."""

from __future__ import annotations

from enum import StrEnum


class Denial(StrEnum):
    """Why a call may not be made now; also the waiting reason of the step that is parked for it."""

    BREAKER_OPEN = "breaker_open"
    THROTTLED = "throttled"
    RATE_LIMIT = "rate_limit"
    SLOTS_FULL = "slots_full"
    POOL_FULL = "pool_full"
    RETRY_BUDGET = "retry_budget"
    GATE_UNAVAILABLE = "gate_unavailable"


TOOL_PAUSED = "tool_paused"
RUN_PAUSED = "run_paused"

# A step in doubt that is being verified needs no person yet.
VERIFYING = "verifying"
# A verification that found nothing asks again once everything can have arrived.
SETTLING = "settling"
IN_DOUBT = "in_doubt"


class Person(StrEnum):
    """What a step wants of a person; also its waiting reason."""

    APPROVAL = "approval"
    QUESTION = "question"


# A step with one of these reasons is woken when there is room, at most as many steps as fit.
GATED = (*(denial.value for denial in Denial), TOOL_PAUSED)
