"""Owns storage settings of tables, tried under the load: what share of updates is HOT with each fillfactor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from bench.growth import tables
from bench.growth.tables import Updates
from bench.loads.queries import Queries

TRIED = ("agent_runs", "agent_steps", "attempts")

_OPTION = "select option_value from pg_options_to_table((select reloptions from pg_class where oid = %(table)s::regclass))"
_FILLFACTOR = f"{_OPTION} where option_name = 'fillfactor'"


def try_fillfactors(
    queries: Queries, fillfactors: Sequence[int], load: Callable[[], object]
) -> Iterator[tuple[int, dict[str, Updates]]]:
    """Yield for each fillfactor what changed in which table under a load; at the end all is as it was before.

    It holds for pages that are new: those of the history stay as they are, as they would after a migration.
    """
    before = {table: _fillfactor(queries, table) for table in TRIED}
    try:
        for fillfactor in fillfactors:
            for table in TRIED:
                queries.run(f"alter table {table} set (fillfactor = {int(fillfactor)})")
            yield fillfactor, changes_under(queries, load)
    finally:
        for table, value in before.items():
            queries.run(f"alter table {table} {f'set (fillfactor = {value})' if value else 'reset (fillfactor)'}")


def changes_under(queries: Queries, load: Callable[[], object]) -> dict[str, Updates]:
    """Return what changed in each table while a load ran."""
    before = tables.counted(queries)
    load()
    threading.Event().wait(tables.SETTLE_S)
    return tables.changed(before, tables.counted(queries))


def _fillfactor(queries: Queries, table: str) -> int | None:
    found = queries.rows(_FILLFACTOR, {"table": table})
    return int(found[0]["option_value"]) if found else None
