"""Owns a running stack: workers of several pools on a database of their own, a client, and the tools' world."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import not_
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pytest_celery import CeleryWorkerCluster  # type: ignore[import-untyped]

from agentflow import Client
from agentflow.broker.hints import BrokerHints
from agentflow.client.handle import RunHandle
from agentflow.settings import Settings
from agentflow.store.reads import StepRecord
from tests.integration.workers.containers import REPOSITORY, WorkerContainer
from tests.integration.workers.nodes import WorkerNode
from tests.integration.workers.servers import Servers
from tests.integration.workers.truth import Truth
from tests.integration.workers.waiting import until
from tests.integration.workers.world import World

POOLS = Path(__file__).with_name("pools.toml")
AGENTS = "tests.integration.workers.agents"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """A worker that a test module wants: its pool, the agent modules that it knows, and how many steps it takes."""

    pool: str
    agents: tuple[str, ...]
    concurrency: int | None = None

    @property
    def modules(self) -> str:
        """The value of AGENTFLOW_AGENTS."""
        return ",".join(f"{AGENTS}.{name}" for name in self.agents)


class Stack:
    """Everything that is running for one test module."""

    def __init__(self, servers: Servers, database_url: str, folder: Path, llm_base_url: str) -> None:
        self.servers = servers
        self.truth = Truth(database_url)
        self.world = World(folder / "world")
        self.nodes: list[WorkerNode] = []
        settings = Settings(database_url=SecretStr(database_url), redis_url=SecretStr(servers.redis_url))
        self.client = Client(settings=settings)
        self.hints = BrokerHints(servers.redis_url)
        self._folder = folder
        self._environment = {
            "AGENTFLOW_DATABASE_URL": database_url,
            "AGENTFLOW_REDIS_URL": servers.redis_url,
            "AGENTFLOW_POOLS": str(POOLS),
            "AGENTFLOW_LLM_BASE_URL": llm_base_url,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
            **self.world.environment,
        }

    def add_worker(self, plan: WorkerPlan) -> WorkerNode:
        """Start one more worker; `ready()` waits until it has registered."""
        name = f"{plan.pool}-{len(self.nodes)}"
        command = [sys.executable, "-m", "agentflow", "worker", plan.pool]
        if plan.concurrency is not None:
            command += ["-c", str(plan.concurrency)]
        environment = {**self._environment, "AGENTFLOW_AGENTS": plan.modules}
        log = self._folder / f"{name}.log"
        node = WorkerNode(WorkerContainer(name, command, environment, log, self.truth.is_registered), plan.pool)
        self.nodes.append(node)
        node.container.start()
        return node

    def cluster(self) -> CeleryWorkerCluster:
        """Return the workers as pytest-celery's cluster."""
        return CeleryWorkerCluster(*self.nodes)

    def revive(self) -> None:
        """Start those again that a test has ended."""
        ended = [node for node in self.nodes if not node.is_running]
        for node in ended:
            node.container.start()
        for node in ended:
            node.ready()

    def worker(self, pool: str) -> WorkerNode:
        """Return the first worker of a pool."""
        return next(node for node in self.nodes if node.pool == pool)

    def submit(self, agent: str, inputs: Iterable[Any]) -> list[RunHandle]:
        """Submit one run for each input."""
        return [self.client.submit(agent, value) for value in inputs]

    def steps(self, handle: RunHandle) -> Sequence[StepRecord]:
        """Return a run's steps."""
        return self.client.steps(handle.run_id)

    def await_final(self, handles: Sequence[RunHandle], *, timeout_s: float = 60.0) -> dict[str, int]:
        """Wait until all these runs have ended; return how many ended how."""
        until(lambda: self.truth.unfinished(handles), "the end of the runs", timeout_s=timeout_s, holds=not_)
        return self.truth.endings(handles)

    def await_step(self, handle: RunHandle, status: str, *, timeout_s: float = 20.0) -> StepRecord:
        """Wait until the newest step of a run has a status, and return the step."""
        newest = until(
            lambda: self.steps(handle)[-1:],
            f"a step that is {status!r}",
            timeout_s=timeout_s,
            holds=lambda steps: [step.status for step in steps] == [status],
        )
        return newest[0]

    def close(self) -> None:
        """End every worker and close the connections."""
        for node in self.nodes:
            node.teardown()
        self.hints.close()
        self.client.close()
