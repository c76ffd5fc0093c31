"""The worker pools: which queues each serves, how, and how many steps at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentflow import layout
from agentflow.domain.errors import ConfigError

EVERY_OTHER_QUEUE = "*"
_KINDS = ("prefork", "threads")
_REQUIRED = ("queues", "kind", "concurrency")


@dataclass(frozen=True, slots=True)
class Pool:
    """One worker pool as it is configured; `per_tool` caps the steps of one tool in one worker."""

    name: str
    queues: tuple[str, ...]
    kind: str
    concurrency: int
    per_tool: int | None = None


def read_pools(path: Path | None = None) -> Mapping[str, Pool]:
    """Return the pools by name, from `path` or the file that agentflow brings; raise ConfigError with the place."""
    path = path or layout.path("config/pools.toml")
    try:
        return {name: _pool(name, table) for name, table in _tables(path).items()}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"the worker pools in {str(path)!r} cannot be used: {error}") from error


def queues_of(pool: Pool, pools: Mapping[str, Pool], known: Iterable[str]) -> list[str]:
    """Return the queues that a pool serves, given the queues that the loaded agents use."""
    named = {queue for other in pools.values() for queue in other.queues}
    own = {queue for queue in pool.queues if queue != EVERY_OTHER_QUEUE}
    if EVERY_OTHER_QUEUE in pool.queues:
        own |= set(known) - named
    return sorted(own)


def _tables(path: Path) -> Mapping[str, Any]:
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get("pools")
    if not isinstance(tables, dict) or not tables:
        raise ValueError("there is no table [pools.NAME] in it")
    return tables


def _pool(name: str, table: Any) -> Pool:
    if not isinstance(table, dict):
        raise ValueError(f"pools.{name} is {table!r}; write it as a table [pools.{name}]")  # noqa: TRY004 - as above
    if unknown := set(table) - {*_REQUIRED, "per_tool"}:
        raise ValueError(f"pools.{name} has {', '.join(sorted(unknown))}; it takes queues, kind, concurrency, per_tool")
    if missing := [key for key in _REQUIRED if key not in table]:
        raise ValueError(f"pools.{name} has no {missing[0]}; it takes queues, kind, concurrency, per_tool")
    if table["kind"] not in _KINDS:
        raise ValueError(f"pools.{name}.kind is {table['kind']!r}; give prefork or threads")
    for key in ("concurrency", "per_tool"):
        value = table.get(key, 1) if key == "per_tool" else table[key]
        if type(value) is not int or value < 1:
            raise ValueError(f"pools.{name}.{key} is {value!r}; give a whole number above zero")
    queues = table["queues"]
    if not isinstance(queues, list) or not all(isinstance(queue, str) and queue for queue in queues):
        raise ValueError(f"pools.{name}.queues is {queues!r}; give a list of names, [{EVERY_OTHER_QUEUE!r}] say")
    return Pool(name, tuple(queues), table["kind"], table["concurrency"], table.get("per_tool"))
