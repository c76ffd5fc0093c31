"""Where the packages beside the engine are: top-level ones in a repository, inside `agentflow.bundled` in a wheel.

    repository or editable install      wheel
    tasks/                              agentflow/bundled/tasks/
    config/                             agentflow/bundled/config/
    migrations/                         agentflow/bundled/migrations/

A wheel never touches the top-level names: in a user's own folder `tasks` is the user's.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from agentflow.domain.errors import ConfigError

BESIDE_THE_ENGINE: Final = ("tasks", "config", "migrations")

_ENGINE: Final = Path(__file__).resolve().parent
_BUNDLED: Final = _ENGINE / "bundled"


def module_name(name: str) -> str:
    """Name to import `name` by, `tasks.app` say."""
    _refuse_unknown(name.partition(".")[0])
    return f"agentflow.bundled.{name}" if _BUNDLED.is_dir() else name


def path(relative: str) -> Path:
    """Absolute path of a file or folder, `config/pools.toml` say; raise ConfigError when it is not there."""
    parts = PurePosixPath(relative).parts
    _refuse_unknown(parts[0] if parts else "")
    if ".." in parts:
        raise ConfigError(f"{relative!r} leaves its package: name a file below one of {BESIDE_THE_ENGINE}.")
    found = root().joinpath(*parts)
    if not found.exists():
        raise ConfigError(f"{relative!r} is missing from this installation ({root()}): install agentflow again.")
    return found


def root() -> Path:
    """Folder that holds `tasks`, `config` and `migrations`."""
    return _BUNDLED if _BUNDLED.is_dir() else _ENGINE.parent


def _refuse_unknown(package: str) -> None:
    if package not in BESIDE_THE_ENGINE:
        raise ConfigError(f"{package!r} is not packed beside the engine: it is one of {BESIDE_THE_ENGINE}.")
