"""What this machine's worker pools would serve: the declared agents, and the queues of each pool."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow import layout
from agentflow.cli.declared import describe_agent
from agentflow.declare.agent import MODEL_QUEUE
from agentflow.declare.declaration import COORDINATOR_QUEUE
from agentflow.declare.delivery import DeliveryKind
from agentflow.declare.registry import Registry, load
from agentflow.domain.errors import ConfigError, DeclarationError
from agentflow.outbox.kinds import builtin_kinds
from agentflow.settings import Settings

_ALWAYS = frozenset({COORDINATOR_QUEUE, MODEL_QUEUE})


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One pool, with the queues that it serves for the declared agents."""

    name: str
    kind: str
    concurrency: int
    queues: tuple[str, ...]
    per_tool: int | None = None

    def slots_of_one(self, concurrency: int) -> int | None:
        """Return how many steps of one tool a worker of this pool may have at once; None for as many as it can."""
        if self.per_tool is not None:
            return self.per_tool
        return concurrency - 1 if len(self.queues) > 1 and concurrency > 1 else None


@dataclass(frozen=True, slots=True)
class Served:
    """The declared agents and the pools that serve them."""

    registry: Registry
    pools: Mapping[str, PoolPlan]

    def pool(self, name: str) -> PoolPlan:
        """Return a pool by its name; raise ConfigError naming those there are."""
        if name not in self.pools:
            known = ", ".join(map(repr, self.pools))
            raise ConfigError(
                f"there is no worker pool {name!r}; there are {known} (AGENTFLOW_POOLS, or agentflow's own)"
            )
        return self.pools[name]

    def described(self) -> dict[str, Any]:
        """Return agents, tools and pools as JSON data."""
        return {
            "agents": [describe_agent(agent, self._pool_of) for _, agent in sorted(self.registry.agents.items())],
            "pools": {pool.name: pool.queues for pool in self.pools.values()},
        }

    def _pool_of(self, queue: str) -> str | None:
        return next((pool.name for pool in self.pools.values() if queue in pool.queues), None)


def served_here(settings: Settings) -> Served:
    """Load the declared agents and the pools' configuration; raise DeclarationError or ConfigError with the place."""
    registry = load(settings.agent_modules)
    configuration = importlib.import_module(layout.module_name("config.pools"))
    configured = configuration.read_pools(settings.pools)
    known = registry.queues | _ALWAYS
    pools = {
        name: PoolPlan(
            name,
            pool.kind,
            pool.concurrency,
            tuple(configuration.queues_of(pool, configured, known)),
            pool.per_tool,
        )
        for name, pool in configured.items()
    }
    kinds = (*builtin_kinds(settings).values(), *registry.deliveries.values())
    for pool in pools.values():
        _refuse_threads(registry, pool)
        _refuse_relay_threads(kinds, pool)
    return Served(registry, pools)


def _refuse_threads(registry: Registry, pool: PoolPlan) -> None:
    if pool.kind != "threads":
        return
    for tool in registry.tools.values():
        if tool.queue in pool.queues and tool.effect.needs_process:
            raise DeclarationError(
                f"{tool.place}: tool {tool.name!r} is {str(tool.effect)!r}, so a call that outlives its lease must be "
                f"killed, and threads can't be; the pool {pool.name!r} of its queue {tool.queue!r} has threads: "
                'give the pool kind = "prefork", or the tool another queue'
            )


def _refuse_relay_threads(kinds: Iterable[DeliveryKind], pool: PoolPlan) -> None:
    for kind in kinds:
        if pool.kind == "threads" and kind.queue in pool.queues and kind.effect.needs_process:
            raise DeclarationError(
                f"{kind.place}: messages of kind {kind.name!r} are {str(kind.effect)!r}, so a delivery that outlives "
                f"its lease must be killed, and threads can't be; the pool {pool.name!r} of its queue "
                f'{kind.queue!r} has threads: give the pool kind = "prefork", or the queue to another pool'
            )
