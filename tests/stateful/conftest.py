"""Owns the fleet: one database for all examples, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.stateful.fleet import Fleet

if TYPE_CHECKING:
    from agentflow.testing.databases import Databases


@pytest.fixture(scope="session")
def fleet(agentflow_databases: Databases) -> Iterator[Fleet]:
    """The workers, their messages and their world."""
    fleet = Fleet(agentflow_databases.create("stateful"))
    yield fleet
    fleet.close()
    agentflow_databases.drop("stateful")
