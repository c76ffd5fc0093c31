"""Owns what the acceptance tests share: the recordings, and a real Postgres with the airline's rows in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentflow.local import attach
from tests.acceptance.airline import dataset, tables
from tests.acceptance.airline.world import World


@pytest.fixture(scope="session")
def recordings() -> None:
    if not dataset.is_present():
        pytest.skip(dataset.ABSENT)


@pytest.fixture(scope="session")
def filled_world(
    recordings: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A database of its own that holds the base copy of the airline."""
    with attach(tmp_path_factory.mktemp("airline"), valkey=False) as services:
        world = World(services.database_url)
        with world.engine.begin() as connection:
            tables.create_tables(connection)
        yield world
        world.close()


@pytest.fixture
def world(filled_world: World) -> World:
    """The airline, no conversation having begun."""
    with filled_world.engine.begin() as connection:
        tables.forget_conversations(connection)
    return filled_world
