"""A release to come: whoever imports this module has the migrations of the folder that its environment names."""

from __future__ import annotations

import os
from pathlib import Path

from agentflow import layout

VARIABLE = "RELEASED_MIGRATIONS"


def use_migrations(folder: Path) -> None:
    """Have this process take its migrations from a folder, and everything else from where it was."""
    installed = layout.path

    def path(relative: str) -> Path:
        return folder if relative == "migrations" else installed(relative)

    layout.path = path


if VARIABLE in os.environ:
    use_migrations(Path(os.environ[VARIABLE]))
