"""What a run may still do: the ceilings that are known before anything is asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from agentflow.domain.decision import Decision, Fail, Next
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, NewStep, Step


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


def exhausted(run: Run, tool_name: str) -> str | None:
    """Return the ceiling that leaves no room for one more attempt at a step, or None.

    Tokens and cost are what models use: a run that has none left may still call its tools.
    """
    budget = run.budget
    checks: list[tuple[str, Any]] = [("attempts", run.spent.attempts)]
    if tool_name == MODEL:
        checks += [("tokens", run.spent.tokens), ("cost_usd", run.spent.cost_usd)]
    for name, used in checks:
        ceiling = budget.get(name)
        # Through its digits: the float 0.1 is a little more than the ten cents it stands for.
        if ceiling is not None and used >= Decimal(str(ceiling)):
            return name
    return None


def _call(tool_name: str, arguments: Mapping[str, Any]) -> tuple[str, str]:
    return tool_name, json.dumps(arguments, sort_keys=True)
