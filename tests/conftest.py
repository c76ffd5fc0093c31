"""Owns how the tests are spread over two processes: those that need the machine to themselves share one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# They start workers, or sixteen processes, or compare times; no two of them run at once.
DEMANDING = (
    "acceptance/",
    "integration/workers/",
    "integration/test_cli_",
    "integration/test_alerts_",
    "integration/test_demo",
    "integration/test_gate_",
    "integration/test_local_",
    "integration/test_engine_timeouts",
)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests together, and the demanding files in one line."""
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        item.add_marker(pytest.mark.xdist_group("demanding" if place.startswith(DEMANDING) else place))
