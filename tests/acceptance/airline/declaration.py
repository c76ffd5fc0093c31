"""Owns the declaration of the airline's agent."""

from __future__ import annotations

from agentflow import Agent, Budget
from tests.acceptance.airline.dataset import policy
from tests.acceptance.airline.tools import declare_tools

# The longest recorded run takes 52 steps; a worker that is killed again and again costs attempts beyond that.
BUDGET = Budget(steps=100, tool_calls=60, attempts=1_000, cost_usd=100.0, time_s=3_600.0, same_call=10)


def declare(writes: str) -> Agent:
    """Return the agent; `writes` is the effect of the tools that change rows, `transactional` or `keyed`."""
    return Agent("airline", model="openai:gpt-4o", instructions=policy(), tools=declare_tools(writes), budget=BUDGET)
