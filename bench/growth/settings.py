"""Owns storage settings of tables, tried under the load: what share of updates is HOT with each fillfactor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from bench.growth import tables
from bench.growth.tables import Updates
from bench.loads.queries import Queries

TRIED = ("agent_runs", "agent_steps", "attempts")

_OPTION = "select o.option_value from pg_class c, pg_options_to_table(c.reloptions) o where c.oid = %(table)s::regclass"
_FILLFACTOR = f"{_OPTION} and o.option_name = 'fillfactor'"


def try_fillfactors(
    queries: Queries, fillfactors: Sequence[int], load: Callable[[], object]
) -> Iterator[tuple[int, dict[str, Updates]]]:
    """Yield for each fillfactor what changed in which table under a load; at the end all is as it was before.

    It holds for pages that are new: those of the history stay as they are, as they would after a migration.
    """
    found = [leaf for table in TRIED for leaf in tables.leaves(queries, table)]
    before = {leaf: _fillfactor(queries, leaf) for leaf in found}
    try:
        for fillfactor in fillfactors:
            for leaf in found:
                _set(queries, leaf, fillfactor)
            yield fillfactor, changes_under(queries, load)
    finally:
        for leaf, value in before.items():
            _set(queries, leaf, value)


def changes_under(queries: Queries, load: Callable[[], object]) -> dict[str, Updates]:
    """Return what changed in each table while a load ran."""
    before = tables.counted(queries)
    load()
    threading.Event().wait(tables.SETTLE_S)
    return tables.changed(before, tables.counted(queries))


def _set(queries: Queries, table: str, fillfactor: int | None) -> None:
    queries.run(f"alter table {table} " + (f"set (fillfactor = {fillfactor})" if fillfactor else "reset (fillfactor)"))


def _fillfactor(queries: Queries, table: str) -> int | None:
    found = queries.rows(_FILLFACTOR, {"table": table})
    return int(found[0]["option_value"]) if found else None
