"""Owns releases to come: agentflow's migrations with more on top, in a folder of their own, and who is given them.

A process is of a release once it has imported `agents.released` with the folder in its environment; the test's own, in
the `with` of a release.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentflow import layout
from tests.integration.workers.agents.released import VARIABLE, use_migrations

REVISIONS = Path(__file__).with_name("revisions")


def make_release(folder: Path, revisions: Sequence[str]) -> Path:
    """Return a migrations' folder with these revisions on top of agentflow's own."""
    made = folder / "migrations"
    shutil.copytree(layout.path("migrations"), made, ignore=shutil.ignore_patterns("__pycache__"))
    for name in revisions:
        shutil.copy(REVISIONS / f"{name}.py", made / "versions")
    return made


@contextmanager
def released(migrations: Path) -> Iterator[None]:
    """Let this process, and those that it starts, be of a release."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(migrations))
        patch.setattr(layout, "path", layout.path)
        use_migrations(Path(os.environ[VARIABLE]))
        yield
