"""Agents whose tools fail: by a bug, by a word of their own, by what the other side answers."""

from __future__ import annotations

import os

import httpx2

from agentflow import Context, Pipeline, ToolError, tool
from tests.integration.workers.agents.outside import arrive


@tool(effect="read")
def stumble(ctx: Context, card: str) -> str:
    """Raise what nobody has foreseen."""
    arrive(ctx, "stumble")
    prices: dict[str, int] = {}
    return f"{card} {prices['total']}"


@tool(effect="read")
def decline(ctx: Context, card: str) -> str:
    """Fail in the way that tools are meant to."""
    arrive(ctx, "decline")
    raise ToolError(f"{card} is declined", happened=False)


@tool(effect="read")
def ask(ctx: Context, card: str) -> str:
    """Ask a server, and let its refusal escape."""
    arrive(ctx, "ask")
    return httpx2.post(os.environ["REFUSING_SERVER"], json={"card": card}).raise_for_status().text


stumbling = Pipeline("stumbling", [stumble])
declining = Pipeline("declining", [decline])
asking = Pipeline("asking", [ask])
