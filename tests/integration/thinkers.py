"""Agents that think in parallel, and what their runs have spent and reserved."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from agentflow import Agent, Budget, Done, Fail, NewStep, Next, Run, Step, StepStatus, Wait
from tests.integration.hands import Hands

Decision = Done | Fail | Next | Wait


class Thinkers(Agent):
    """Asks its model several things at once, and is done when all have an answer."""

    def __init__(self, thoughts: int, **other: Any) -> None:
        super().__init__("thinkers", **{"model": "openai:gpt-4o-mini", "settings": {"max_tokens": 1000}, **other})
        self.thoughts = thoughts

    def decide(self, run: Run, history: Sequence[Step]) -> Decision:
        if not history:
            return Next([NewStep("model", {"message": f"thought {n}"}) for n in range(self.thoughts)])
        if any(step.is_open for step in history):
            return Wait()
        failed = [step.step_index for step in history if step.status is not StepStatus.OK]
        return Fail("thought_failed", "a thought failed", failed[0]) if failed else Done("thought of")


def thinkers(thoughts: int = 2, *, settings: Any = None, model: str = "openai:gpt-4o-mini", **budget: Any) -> Thinkers:
    """Thinkers of which one call costs six hundredths of a cent at most, and a little for its prompt."""
    return Thinkers(thoughts, model=model, settings=settings or {"max_tokens": 1000}, budget=Budget(**budget))


def spent(hands: Hands, run_id: str) -> tuple[int, Decimal]:
    """The tokens and the dollars that a run has been charged."""
    row = hands.run_row(run_id)
    return row["spent_tokens"], row["spent_cost_usd"]


def reserved(hands: Hands, run_id: str) -> tuple[int, Decimal]:
    """The tokens and the dollars that are set aside for its calls."""
    row = hands.run_row(run_id)
    return row["reserved_tokens"], row["reserved_cost_usd"]


def logged(hands: Hands, run_id: str) -> tuple[int, Decimal]:
    """The tokens and the dollars of its logged model calls."""
    query = """
        select coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint as tokens,
            coalesce(sum(cost_usd), 0) as cost_usd
        from agentflow.model_calls where run_id = %(run_id)s
    """
    [row] = hands.sql(query, run_id=run_id)
    return row["tokens"], row["cost_usd"]
