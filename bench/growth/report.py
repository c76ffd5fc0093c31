"""Owns how tables are reported: figures of their sizes, what is dead in them, their updates, their unused indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bench.figures import Figure
from bench.growth import tables
from bench.growth.tables import Updates
from bench.loads.queries import Queries, Row

_SMALL_BYTES = 1_000_000


def sizes(queries: Queries) -> Iterator[Figure]:
    """Yield the size of each table that is more than small, its bloat and dead rows, and its indexes' sizes."""
    large = [row for row in tables.sizes(queries) if row["bytes"] > _SMALL_BYTES]
    bloat, dead = tables.bloat_by_table(queries, [row["name"] for row in large]), tables.dead(queries)
    of_table: dict[str, list[Row]] = {}
    for index in tables.index_sizes(queries):
        of_table.setdefault(index["table"], []).append(index)
    for row in large:
        name = row["name"]
        yield Figure(f"{name}: with indexes", row["bytes"] / 1e6, "MB")
        yield Figure("  per row", row["bytes"] / max(1, row["rows"]), "B")
        yield Figure("  bloat of the heap", bloat[name] * 100, "%")
        yield Figure("  dead rows", dead[name]["dead"], "")
        for index in of_table.get(name, ()):
            yield Figure(f"  {index['name']}", index["bytes"] / 1e6, "MB")


def updates(changes: Mapping[str, Updates], how: str) -> Iterator[Figure]:
    """Yield each table's updates per inserted row, and the share of them that was HOT."""
    for name, change in sorted(changes.items()):
        if change.updates and change.inserts:
            yield Figure(f"{name}, {how}: updates per row", change.updates / change.inserts, "")
            yield Figure("  HOT", change.hot_share * 100, "%")


def unused(found: Iterable[Row]) -> Iterator[Figure]:
    """Yield the size of each index that nothing uses; those that hold a uniqueness say so."""
    for row in found:
        kind = " (unique)" if row["is_unique"] else ""
        yield Figure(f"used by nothing: {row['name']}{kind}", row["bytes"] / 1e6, "MB")
