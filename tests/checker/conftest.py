"""Owns the fixtures of the checker's own tests: one healthy database for all of them, and what arrived outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.checker.healthy import Healthy, live

if TYPE_CHECKING:
    from agentflow.testing.databases import Databases


@pytest.fixture(scope="session")
def healthy(agentflow_databases: Databases) -> Iterator[Healthy]:
    """Runs of every kind that came to their ends, and the evidence of them."""
    url = agentflow_databases.create("healthy")
    yield live(url)
    agentflow_databases.drop("healthy")
