"""Declared agents as data: what each tool promises, who serves it, and what its declaration leaves open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from agentflow.declare.assumptions import open_assumptions
from agentflow.declare.declaration import Declaration, describe_tool
from agentflow.declare.tool import Tool

_PROMISES = (
    "effect",
    "timeout_s",
    "key",
    "queue",
    "settle_s",
    "verify",
    "verify_after",
    "compensate",
    "no_compensation",
    "approval",
    "no_approval",
    "asks",
    "expires_s",
)


def describe_agent(agent: Declaration, pool_of: Callable[[str], str | None]) -> dict[str, Any]:
    """Return an agent, its tools and its open assumptions as JSON data; `pool_of` names the pool of a queue."""
    return {
        "name": agent.name,
        "version": agent.version,
        "kind": agent.kind,
        "place": agent.place,
        "on_failure": str(agent.on_failure),
        "tools": [_describe(tool, pool_of) for tool in agent.tools.values()],
        "open": [asdict(assumption) for assumption in open_assumptions(agent)],
    }


def _describe(tool: Tool[Any, Any], pool_of: Callable[[str], str | None]) -> dict[str, Any]:
    described = describe_tool(tool)
    promises = {name: described[name] for name in _PROMISES}
    return {"name": tool.name, **promises, "pool": pool_of(tool.queue), "place": tool.place}
