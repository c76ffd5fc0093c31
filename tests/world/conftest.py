"""Owns the outside world that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world.knocks import PASSWORD
from tests.world.process import World


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of this module."""
    with World(tmp_path_factory.mktemp("world"), mail_password=PASSWORD) as world:
        yield world


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The world, without faults before and after a test."""
    yield shared
    shared.heal()
