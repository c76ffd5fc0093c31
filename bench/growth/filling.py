"""Owns the filling of tables: finished runs, the oldest first, spread over the last year."""

from __future__ import annotations

from collections.abc import Callable

from bench.loads.copying import Copier
from bench.loads.queries import Queries

SPAN_S = 365 * 86_400.0
_PART = 50_000


def fill(database_url: str, queries: Queries, runs: int, tell: Callable[[int], None]) -> None:
    """Add finished runs until there are so many; `tell` hears how many there are, now and then."""
    copier = Copier(database_url, runs, span_s=SPAN_S)
    done = int(queries.value("select count(*) from agent_runs"))
    while done < runs:
        last = min(done + _PART, runs)
        copier.copy(done, last)
        done = last
        tell(done)
    queries.run("vacuum analyze")
