"""Owns a running stack: a database of its own, workers of several pools, a client, and the world that tools act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pytest_celery import CeleryWorkerCluster
from sqlalchemy import text

from agentflow import Client
from agentflow.broker.celery_app import broker_app
from agentflow.broker.hints import BrokerHints
from agentflow.client.handle import RunHandle
from agentflow.settings import Settings
from agentflow.store.database import Row, probe_engine
from agentflow.store.reads import StepRecord
from tests.integration.workers.nodes import REPOSITORY, WorkerContainer, WorkerNode
from tests.integration.workers.servers import Servers
from tests.integration.workers.waiting import until
from tests.integration.workers.world import World

POOLS = Path(__file__).with_name("pools.toml")
AGENTS = "tests.integration.workers.agents"
_BOOKS = "create table public.entries (run_id uuid not null, step_index int not null, attempt int not null)"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """A worker that a test module wants: its pool, and the agent modules that it knows."""

    pool: str
    agents: tuple[str, ...]

    @property
    def modules(self) -> str:
        """The value of AGENTFLOW_AGENTS."""
        return ",".join(f"{AGENTS}.{name}" for name in self.agents)


class Stack:
    """Everything that is running for one test module."""

    def __init__(self, servers: Servers, database_url: str, folder: Path, llm_base_url: str) -> None:
        self.servers = servers
        self.folder = folder
        self.world = World(folder / "world")
        self.nodes: list[WorkerNode] = []
        self.engine = probe_engine(database_url)
        settings = Settings(database_url=SecretStr(database_url), redis_url=SecretStr(servers.redis_url))
        self.client = Client(settings=settings)
        self.hints = BrokerHints(broker_app(servers.redis_url))
        self._environment = {
            "AGENTFLOW_DATABASE_URL": database_url,
            "AGENTFLOW_REDIS_URL": servers.redis_url,
            "AGENTFLOW_POOLS": str(POOLS),
            "AGENTFLOW_LLM_BASE_URL": llm_base_url,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
            **self.world.environment,
        }
        self.run_sql(_BOOKS)

    def add_worker(self, plan: WorkerPlan) -> WorkerNode:
        """Start one more worker; `ready()` waits until it has registered."""
        name = f"{plan.pool}-{len(self.nodes)}"
        container = WorkerContainer(
            name,
            _command(plan.pool),
            {**self._environment, "AGENTFLOW_AGENTS": plan.modules},
            self.folder / f"{name}.log",
            self._is_registered,
        )
        node = WorkerNode(container, None, plan.pool)
        self.nodes.append(node)
        container.start()
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

    def await_final(self, handles: Sequence[RunHandle], *, timeout_s: float = 60.0) -> dict[str, int]:
        """Wait until all these runs have ended; return how many ended how."""
        ids = [handle.run_id for handle in handles]
        until(lambda: self._unfinished(ids) == [], f"the end of {len(ids)} runs", timeout_s=timeout_s)
        rows = self.run_sql(
            "select status, count(*) as runs from agentflow.agent_runs where run_id = any(cast(:ids as uuid[])) group by 1",
            ids=ids,
        )
        return {row["status"]: row["runs"] for row in rows}

    def await_step(self, handle: RunHandle, status: str, *, timeout_s: float = 20.0) -> StepRecord:
        """Wait until the newest step of a run has a status, and return the step."""
        return until(lambda: self._newest(handle, status), f"a step that is {status!r}", timeout_s=timeout_s)

    def steps(self, handle: RunHandle) -> Sequence[StepRecord]:
        """Return a run's steps."""
        return self.client.steps(handle.run_id)

    def entries(self, handle: RunHandle) -> int:
        """Return how often a transactional tool wrote into the books for a run."""
        return int(self.run_sql("select count(*) as n from public.entries where run_id = :id", id=handle.run_id)[0]["n"])

    def run_sql(self, statement: str, /, **parameters: Any) -> list[Row]:
        """Run a statement on a connection of its own and return its rows."""
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def close(self) -> None:
        """End every worker and close the connections."""
        for node in self.nodes:
            node.teardown()
        self.hints.close()
        self.client.close()
        self.engine.dispose()

    def _is_registered(self, pid: int) -> bool:
        found = self.run_sql("select 1 from agentflow.workers where pid = :pid and stopped_at is null", pid=pid)
        return bool(found)

    def _unfinished(self, ids: Sequence[str]) -> list[Row]:
        return self.run_sql(
            "select r.run_id::text, r.agent, r.status, r.waiting_reason, s.step_index, s.tool_name, s.status as step, s.attempt "
            "from agentflow.agent_runs r left join agentflow.agent_steps s using (run_id) "
            "where r.run_id = any(cast(:ids as uuid[])) and r.finished_at is null order by 1, 5 limit 8",
            ids=list(ids),
        )

    def _newest(self, handle: RunHandle, status: str) -> StepRecord | None:
        steps = self.steps(handle)
        return steps[-1] if steps and steps[-1].status == status else None


def _command(pool: str) -> list[str]:
    if pool:  # XXX until the CLI is there
        from agentflow.declare.registry import load
        from config.pools import queues_of, read_pools
        pools=read_pools(POOLS)
        p=pools[pool]
        known=load([f"{AGENTS}.{n}" for n in ("shop","deaths","guests","veterans","newcomers")]).queues
        return [sys.executable,"-m","celery","-A","tasks.app","worker","-P",p.kind,"-c",str(p.concurrency),"-Q",",".join(queues_of(p,pools,known)),"-n",f"{pool}-{os.urandom(3).hex()}@%h","--without-gossip","--without-mingle","--loglevel","INFO"]
    return [sys.executable, "-m", "agentflow", "worker", pool]
