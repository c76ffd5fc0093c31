"""The pytest plugin: the fixture `agentflow`, on a database of its own for each test.

The servers are the embedded ones, started once per session in a temporary folder; AGENTFLOW_TEST_DATABASE_URL names a
Postgres to use instead, on which databases may be created.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agentflow.testing.databases import Databases
    from agentflow.testing.harness import Harness


@pytest.fixture(scope="session")
def agentflow_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A Postgres on which each test makes a migrated database of its own."""
    from agentflow.testing.databases import Databases

    given = os.environ.get("AGENTFLOW_TEST_DATABASE_URL")
    if given:
        with Databases.on(given) as databases:
            yield databases
        return
    from agentflow.local import attach

    folder = tmp_path_factory.mktemp("agentflow")
    with attach(folder, valkey=False) as services, Databases.on(services.database_url) as databases:
        yield databases


@pytest.fixture
def agentflow_database_url(agentflow_databases: Databases) -> Iterator[str]:
    """The URL of a migrated database that is this test's alone."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield agentflow_databases.create(name)
    agentflow_databases.drop(name)


@pytest.fixture
def agentflow(agentflow_database_url: str) -> Iterator[Harness]:
    """Run agents in this process: `agentflow.run(agent, input, model=..., crash_after=...)`."""
    from agentflow.testing.harness import Harness

    harness = Harness(agentflow_database_url)
    yield harness
    harness.close()
