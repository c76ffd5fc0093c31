"""Owns a server that fails as it is told to, shared by all tests, and an address of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.faulty import FaultyServer
from tests.integration.outside import Endpoint


@pytest.fixture(scope="session")
def faulty_server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def endpoint(faulty_server: FaultyServer) -> Endpoint:
    return Endpoint(faulty_server)
