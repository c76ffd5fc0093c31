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
_KINDS = {"prefork", "threads"}


@dataclass(frozen=True, slots=True)
class Pool:
    """One worker pool as it is configured."""

    name: str
    queues: tuple[str, ...]
    kind: str
    concurrency: int


def read_pools(path: Path | None = None) -> Mapping[str, Pool]:
    """Return the pools by name, from `path` or the file that agentflow brings; raise ConfigError with the place."""
    path = path or layout.path("config/pools.toml")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["pools"]
        return {name: _pool(name, table) for name, table in tables.items()}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"the worker pools in {str(path)!r} cannot be used: {error}") from error


def queues_of(pool: Pool, pools: Mapping[str, Pool], known: Iterable[str]) -> list[str]:
    """Return the queues that a pool serves, given the queues that the loaded agents use."""
    named = {queue for other in pools.values() for queue in other.queues}
    own = {queue for queue in pool.queues if queue != EVERY_OTHER_QUEUE}
    if EVERY_OTHER_QUEUE in pool.queues:
        own |= set(known) - named
    return sorted(own)


def _pool(name: str, table: Mapping[str, Any]) -> Pool:
    unknown = set(table) - {"queues", "kind", "concurrency"}
    if unknown:
        raise ValueError(f"pools.{name} has {', '.join(sorted(unknown))}; it takes queues, kind, concurrency")
    if table["kind"] not in _KINDS:
        raise ValueError(f"pools.{name}.kind is {table['kind']!r}; give prefork or threads")
    concurrency = table["concurrency"]
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ValueError(f"pools.{name}.concurrency is {concurrency!r}; give a whole number above zero")
    return Pool(name, tuple(map(str, table["queues"])), table["kind"], concurrency)
