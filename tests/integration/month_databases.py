"""Owns databases whose schema was made in March: one to share, and one for each test that changes its partitions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agentflow.testing import Harness
from agentflow.testing.databases import Databases
from tests.integration.emptying import empty
from tests.integration.months import begin_in_march


@pytest.fixture(scope="session")
def month_databases(agentflow_databases: Databases) -> Iterator[Databases]:
    """A Postgres on which databases are made from one whose schema was made in March."""
    begin_in_march(agentflow_databases.create("march"))
    yield replace(agentflow_databases, template="march")
    agentflow_databases.drop("march")


@pytest.fixture(scope="session")
def shared_months(month_databases: Databases) -> Iterator[str]:
    """A database of those, for tests that leave nothing in it but rows."""
    yield month_databases.create("months")
    month_databases.drop("months")


@pytest.fixture
def months(shared_months: str) -> str:
    """The shared database without a row in it."""
    empty(shared_months)
    return shared_months


@pytest.fixture
def harness(months: str) -> Iterator[Harness]:
    made = Harness(months)
    yield made
    made.close()


@pytest.fixture
def own_months(month_databases: Databases) -> Iterator[str]:
    """A database as the shared one, for a test that makes or drops partitions."""
    name = f"months_{uuid.uuid4().hex[:12]}"
    yield month_databases.create(name)
    month_databases.drop(name)


@pytest.fixture
def own_harness(own_months: str) -> Iterator[Harness]:
    made = Harness(own_months)
    yield made
    made.close()
