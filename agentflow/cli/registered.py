"""What workers have registered, joined with the workers that are alive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentflow.client import Client
from agentflow.engine.sweeper import DEAD_S
from agentflow.store import workers


def live_workers(client: Client) -> Sequence[Mapping[str, Any]]:
    """Return the live workers: pool, hostname, pid, queues, started_at."""
    with client.database.transaction() as tx:
        return workers.alive(tx, DEAD_S)


def registered_agents(client: Client) -> list[dict[str, Any]]:
    """Return each agent's newest registration with the pools whose live workers serve its queues."""
    alive = live_workers(client)
    return [
        {
            "name": row["name"],
            "version": row["version"],
            "kind": row["kind"],
            "tools": [tool["name"] for tool in row["tools"]],
            "queues": row["queues"],
            "served_by": _pools(alive, row["queues"]),
            "unserved": sorted(set(row["queues"]) - {queue for worker in alive for queue in worker["queues"]}),
            "registered_at": row["registered_at"],
        }
        for row in client.agents()
    ]


def registered_tools(client: Client) -> list[dict[str, Any]]:
    """Return each tool and each model (`kind`) that a registered agent has, its agents, and the pools that serve it."""
    alive = live_workers(client)
    found: dict[str, dict[str, Any]] = {}
    for agent in client.agents():
        for part in _parts(agent):
            known = found.setdefault(part["name"], {**part, "agents": [], "served_by": _pools(alive, [part["queue"]])})
            known["agents"].append(agent["name"])
    return sorted(found.values(), key=lambda each: (each["kind"] == "model", each["name"]))


def _parts(agent: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for tool in agent["tools"]:
        yield {**tool, "kind": "tool"}
    if agent["model"]:
        yield {**agent["model"], "kind": "model", "effect": "read"}


def _pools(alive: Sequence[Mapping[str, Any]], queues: Sequence[str]) -> list[str]:
    return sorted({worker["pool"] for worker in alive if set(worker["queues"]) & set(queues)})
