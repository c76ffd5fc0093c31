"""What a run may still do: the ceilings that are known before anything is asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentflow.domain.claim import LockedStep
from agentflow.domain.decision import Decision, Fail, Next
from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import COMPENSATE, MODEL, VERIFY, NewStep, Step

_COMPARED = json.JSONEncoder(sort_keys=True)

VERIFICATION_ATTEMPTS = 6
COMPENSATION_ATTEMPTS = 20


def within_budget(decision: Decision, run: Run, history: Sequence[Step]) -> Decision:
    """Return the decision, or the failure of a run whose next steps would pass a ceiling."""
    if not isinstance(decision, Next):
        return decision
    asked: list[Step | NewStep] = [*history, *decision.steps]
    calls = [step for step in asked if step.tool_name != MODEL]
    for reason, used, ceiling in (
        ("steps", len(asked), run.budget.get("steps")),
        ("tool_calls", len(calls), run.budget.get("tool_calls")),
    ):
        if ceiling is not None and used > ceiling:
            return Fail(f"budget_{reason}", f"the run would need {used} {reason}; its budget is {ceiling}")
    repeated = Counter(_call(step.tool_name, step.input) for step in calls)
    ceiling = run.budget.get("same_call")
    for (tool_name, _), count in repeated.items():
        if ceiling is not None and count > ceiling:
            message = f"{tool_name!r} would be called {count} times with the same arguments; {ceiling} are allowed"
            return Fail("budget_same_call", message)
    return decision


@dataclass(frozen=True, slots=True)
class NoRoom:
    """A model call that would pass a ceiling; `passing` where only other calls' reservations stand in its way."""

    ceiling: str
    passing: bool = False


def room_for(run: Run, asked: Reserved, *, is_priced: bool) -> NoRoom | None:
    """Return the ceiling that a model call would pass if it used all that is asked for, or None."""
    if not is_priced and run.budget.get("cost_usd") is not None:
        return NoRoom("unpriced_model")
    passing: NoRoom | None = None
    for name, spent, reserved, more in (
        ("tokens", run.spent.tokens, run.reserved.tokens, asked.tokens),
        ("cost_usd", run.spent.cost_usd, run.reserved.cost_usd, asked.cost_usd),
    ):
        if run.budget.get(name) is None:
            continue
        # Through its digits: the float 0.1 is a little more than the ten cents it stands for.
        ceiling = Decimal(str(run.budget[name]))
        if spent + more > ceiling:
            return NoRoom(name)
        if spent + reserved + more > ceiling:
            passing = NoRoom(name, passing=True)
    return passing


def attempts_left(run: Run) -> int | None:
    """Return how many more attempts a run's budget allows, None where it sets no ceiling."""
    ceiling = run.budget.get("attempts")
    return None if ceiling is None else max(0, int(ceiling) - run.spent.attempts)


def attempts_left_of(run: Run, step: LockedStep, attempt: int) -> int | None:
    """Return how many more attempts a step may have after this one; what clears up after a run has its own ceilings."""
    if step.tool_name == VERIFY:
        return max(0, VERIFICATION_ATTEMPTS - attempt)
    if step.tool_name == COMPENSATE:
        ceiling = int(run.budget.get("compensation_attempts", COMPENSATION_ATTEMPTS))
        return max(0, ceiling - attempt)
    return attempts_left(run)


def _call(tool_name: str, arguments: Mapping[str, Any]) -> tuple[str, str]:
    return tool_name, _COMPARED.encode(arguments)
