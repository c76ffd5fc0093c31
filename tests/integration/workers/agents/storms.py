"""Agents of which many runs come at once, while the server is down, overloaded or asks for patience."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2

from agentflow import (
    Budget,
    Context,
    Done,
    Limits,
    NewStep,
    Next,
    Pipeline,
    Run,
    Step,
    Wait,
    Workflow,
    resource,
    tool,
)
from agentflow.declare.tool import Tool
from tests.integration.workers.agents.outside import arrive, wait_at

SLOTS = 4
STORMY = ("rain", "hail", "sleet", "snow", "fog", "wind")


@resource
def outside() -> Iterator[httpx2.Client]:
    """Open a client that leaves timeouts to the engine."""
    with httpx2.Client(base_url=os.environ["OUTSIDE_SERVER"], timeout=None, trust_env=False) as opened:
        yield opened


def _ask(ctx: Context, path: str) -> str:
    reply = ctx.use(outside).post(path, content=ctx.run.run_id)
    return reply.raise_for_status().text


@tool(effect="read", limits=Limits(slots=SLOTS))
def fetch(ctx: Context) -> str:
    """Ask a server that serves few at once."""
    return _ask(ctx, "/fetch")


@tool(effect="read")
def peek(ctx: Context) -> str:
    """Ask another server."""
    return _ask(ctx, "/peek")


@tool(effect="read")
def tally(ctx: Context) -> str:
    """Ask a server that asks for patience."""
    return _ask(ctx, "/tally")


@tool(effect="read", timeout_s=60, limits=Limits(slots=SLOTS))
def grip(ctx: Context) -> str:
    """Hold a slot until the test lets go."""
    arrive(ctx, "grip")
    wait_at("grip")
    return f"held in attempt {ctx.attempt}"


def _stormy(name: str) -> Tool[Any, str]:
    def ask(ctx: Context) -> str:
        return _ask(ctx, f"/{name}")

    return tool(effect="read", name=name, timeout_s=30)(ask)


def brave(run: Run, history: Sequence[Step]) -> Next | Wait | Done:
    """Ask for six steps at once, and wait for all of them."""
    if not history:
        return Next([NewStep(name, {}) for name in STORMY])
    return Wait() if any(step.is_open for step in history) else Done("it is over")


fetching = Pipeline("fetching", [fetch])
peeking = Pipeline("peeking", [peek])
tallying = Pipeline("tallying", [tally])
gripping = Pipeline("gripping", [grip])
braving = Workflow("braving", decide=brave, tools=[_stormy(name) for name in STORMY], budget=Budget(time_s=120))
