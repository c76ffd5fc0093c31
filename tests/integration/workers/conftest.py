"""pytest-celery's fixtures on processes in place of containers, and the stack that a test module runs on.

A module names its workers in WORKERS. They are started once, on a database of their own and a flushed Redis; those that
a test has ended are started again before the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_celery import CeleryBrokerCluster, CeleryWorkerCluster  # type: ignore[import-untyped]

from agentflow.llm.server import ModelServer
from agentflow.testing.databases import Databases
from tests.integration.broker_app import broker_app
from tests.integration.workers.broker import BrokerNode
from tests.integration.workers.listening import Listener
from tests.integration.workers.scripts import answer
from tests.integration.workers.servers import Servers
from tests.integration.workers.stack import Stack


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The real Postgres and Valkey of all these tests."""
    with Servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    """What gives each module a migrated database of its own."""
    with Databases.on(servers.database_url) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's logs and its outside world are."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def model_server(folder: Path) -> Iterator[ModelServer]:
    """A scripted model behind OpenAI's protocol."""
    with ModelServer(answer, log=folder / "model.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def running_stack(
    request: pytest.FixtureRequest, servers: Servers, databases: Databases, folder: Path, model_server: ModelServer
) -> Iterator[Stack]:
    """The module's stack, its workers ready."""
    name = f"workers_{folder.name}"
    servers.flush_redis()
    stack = Stack(servers, databases.create(name), folder, model_server.base_url)
    try:
        for plan in request.module.WORKERS:
            stack.add_worker(plan)
        assert stack.cluster().ready()
        yield stack
    finally:
        stack.close()
        databases.drop(name)


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """The module's stack, with all of its workers alive."""
    running_stack.revive()
    return running_stack


@pytest.fixture
def celery_broker_cluster(servers: Servers) -> CeleryBrokerCluster:
    """The embedded Valkey."""
    return CeleryBrokerCluster(BrokerNode(servers))


@pytest.fixture
def celery_backend_cluster() -> None:
    """Nothing: there is no result backend."""


@pytest.fixture
def celery_worker_cluster(stack: Stack) -> CeleryWorkerCluster:
    """The module's workers."""
    return stack.cluster()


@pytest.fixture(scope="module")
def listener(running_stack: Stack) -> Iterator[Listener]:
    """Hears what the workers tell of their tasks."""
    with Listener(broker_app(running_stack.servers.redis_url)) as listening:
        yield listening
