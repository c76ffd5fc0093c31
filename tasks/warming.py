"""Getting ready for models before their first call: vendors' libraries and price lists take seconds to import."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import structlog

from agentflow.declare.agent import Agent
from agentflow.domain.errors import AgentflowError
from agentflow.engine.recovery import QUARANTINE_QUEUE
from agentflow.llm.clients import VendorClient
from agentflow.llm.projection import project
from agentflow.llm.windows import window_of
from agentflow.settings import settings

from .process import process

log = structlog.get_logger("agentflow.worker")


def warm_models(queues: Collection[str]) -> None:
    """Open, on a thread of their own, the clients of the models whose calls come in by these queues."""
    names = _models(queues)
    if names:
        threading.Thread(
            target=_each, args=(names, VendorClient.connect), name="agentflow-warming", daemon=True
        ).start()


def import_libraries(queues: Collection[str]) -> None:
    """Import what the models need whose calls come in by these queues, before the pool's children are forked.

    A child that had to do it within the time of its first call would overrun that, be killed, and leave the next to the
    same. Any model's call may come into quarantine.
    """
    _each(_models(queues), VendorClient.import_library)


def load_prices(queues: Collection[str]) -> None:
    """Price the models whose calls come in by these queues once, before the first of them is claimed.

    Else the first claim of each process would read the price list under its run's lock.
    """
    prices = settings().price_table
    for name in _models(queues):
        try:
            project(name, 0, 0, prices)
            window_of(name, prices)
        except AgentflowError as error:
            log.warning("model_not_priced", model=name, error=str(error))


def _models(queues: Collection[str]) -> list[str]:
    agents = [agent for agent in process.registry.agents.values() if isinstance(agent, Agent)]
    served = [agent.model for agent in agents if agent.model_queue in queues or QUARANTINE_QUEUE in queues]
    return sorted({model for model in served if isinstance(model, str)})


def _each(names: list[str], prepare: Callable[[VendorClient], object]) -> None:
    for name in names:
        try:
            client = process.model_client(name)
            if isinstance(client, VendorClient):
                prepare(client)
        except AgentflowError as error:
            # The calls themselves will fail and say so; a worker without a key may still serve its tools.
            log.warning("model_not_warm", model=name, error=str(error))
