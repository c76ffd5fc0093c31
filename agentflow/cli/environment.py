"""Where a command runs: the folder's `.env` under the real environment, the folder itself on the path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from agentflow.domain.errors import ConfigError


def read_dotenv(folder: Path) -> None:
    """Take what the folder's `.env` says over into the environment; what is set there already wins."""
    path = folder / ".env"
    if not path.is_file():
        return
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error}; mend it, or move it away") from error
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, value)


def import_from(folder: Path) -> None:
    """Let modules of the folder be imported, as `python -m` would."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
