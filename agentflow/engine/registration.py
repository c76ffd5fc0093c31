"""What a worker tells the others of itself: who it is, which queues it serves, which agents it knows."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

from agentflow.declare.agent import Agent
from agentflow.declare.declaration import Declaration, describe_tool
from agentflow.declare.registry import Registry
from agentflow.store import workers
from agentflow.store.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Registration:
    """One boot of a worker."""

    worker_id: str
    pool: str
    queues: frozenset[str]
    registry: Registry

    def write(self, database: Database) -> None:
        """Write the worker and the agents it serves into the register."""
        database.atomically(self._write)

    def _write(self, tx: Transaction) -> None:
        workers.register(
            tx,
            worker_id=self.worker_id,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            pool=self.pool,
            queues=sorted(self.queues),
            agents={agent.name: agent.version for agent in self.registry.agents.values()},
        )
        for agent in self.registry.agents.values():
            workers.register_agent(
                tx,
                {
                    "name": agent.name,
                    "version": agent.version,
                    "kind": agent.kind,
                    "queue": agent.queue,
                    "queues": sorted(agent.queues),
                    "input_schema": agent.input_schema,
                    "budget": agent.budget.as_json(),
                    "fallback": agent.fallback.word,
                    "on_failure": agent.on_failure,
                    "tools": [{"name": tool.name, **describe_tool(tool)} for tool in agent.tools.values()],
                    "model": _describe_model(agent),
                },
            )


def _describe_model(agent: Declaration) -> dict[str, Any] | None:
    if not isinstance(agent, Agent):
        return None
    return {
        "name": agent.bulkhead,
        "timeout_s": agent.model_timeout_s,
        "queue": agent.model_queue,
        "limits": asdict(agent.limits),
        "depends_on": agent.depends_on,
    }
