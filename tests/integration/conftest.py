"""Owns the database that tests of this folder share: it is emptied for each, which is quicker than making one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from agentflow.testing import Harness
from tests.integration.emptying import empty

if TYPE_CHECKING:
    from agentflow.testing.databases import Databases


@pytest.fixture(scope="session")
def shared_database_url(agentflow_databases: Databases) -> Iterator[str]:
    """A migrated database for all tests that leave nothing in it but rows."""
    yield agentflow_databases.create("shared")
    agentflow_databases.drop("shared")


@pytest.fixture
def empty_database_url(shared_database_url: str) -> str:
    """The shared database without a row in it."""
    empty(shared_database_url)
    return shared_database_url


@pytest.fixture
def agentflow(empty_database_url: str) -> Iterator[Harness]:
    """The product's fixture of this name, on the shared database."""
    harness = Harness(empty_database_url)
    yield harness
    harness.close()
