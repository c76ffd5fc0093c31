"""Opening the models' clients before their first call: the vendors' libraries take seconds to import."""

from __future__ import annotations

import threading
from collections.abc import Collection

import structlog

from agentflow.declare.agent import Agent
from agentflow.domain.errors import AgentflowError
from agentflow.llm.clients import VendorClient

from .process import process

log = structlog.get_logger("agentflow.worker")


def warm_models(queues: Collection[str]) -> None:
    """Open, on a thread of their own, the clients of the models whose calls come in by these queues."""
    agents = process.registry.agents.values()
    models = {agent.model for agent in agents if isinstance(agent, Agent) and agent.model_queue in queues}
    names = sorted(model for model in models if isinstance(model, str))
    if names:
        threading.Thread(target=_open, args=(names,), name="agentflow-warming", daemon=True).start()


def _open(names: list[str]) -> None:
    for name in names:
        try:
            client = process.runtime.models(name)
            if isinstance(client, VendorClient):
                client.connect()
        except AgentflowError as error:
            # The calls themselves will fail and say so; a worker without a key may still serve its tools.
            log.warning("model_not_warm", model=name, error=str(error))
