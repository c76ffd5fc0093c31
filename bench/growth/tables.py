"""Owns what is seen of tables: their sizes, what is dead in them, which updates were HOT, and how bloated they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.loads.queries import Queries, Row

# Statistics of other connections come in late: a backend that rests tells of its last transactions after ten seconds.
SETTLE_S = 12.0

_COUNTS = """
select relname as name, n_tup_ins as inserts, n_tup_upd as updates, n_tup_hot_upd as hot, n_dead_tup as dead,
    n_live_tup as live, autovacuum_count as vacuums
from pg_stat_user_tables where schemaname = current_schema()
"""
_SIZES = """
select c.relname as name, pg_relation_size(c.oid) as heap_bytes, pg_indexes_size(c.oid) as index_bytes,
    pg_total_relation_size(c.oid) as bytes, c.reltuples::bigint as rows,
    coalesce(array_to_string(c.reloptions, ', '), '') as options
from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' order by 4 desc
"""
_INDEXES = """
select s.relname as table, s.indexrelname as name, pg_relation_size(s.indexrelid) as bytes, s.idx_scan as scans,
    i.indisunique as is_unique, c.reltuples::bigint as rows
from pg_stat_user_indexes s join pg_index i using (indexrelid) join pg_class c on c.oid = s.indexrelid
where s.schemaname = current_schema() order by 3 desc
"""
_HAS_EXTENSION = "select count(*) > 0 from pg_available_extensions where name = 'pgstattuple'"
_MEASURED = "select (dead_tuple_percent + free_percent) / 100 from pgstattuple(%(table)s::regclass)"
# A row's own 28 bytes, its null bitmap rounded up, and its columns' mean widths; a page's 24 bytes.
_ESTIMATED = """
select 1 - c.reltuples * (36 + coalesce((
        select sum((1 - null_frac) * avg_width) from pg_stats s
        where s.schemaname = current_schema() and s.tablename = c.relname
    ), 0)) / nullif(c.relpages * (8192 - 24), 0) as share
from pg_class c where c.oid = %(table)s::regclass
"""


@dataclass(frozen=True, slots=True)
class Updates:
    """What changed in a table between two looks: rows inserted and updated, updates that were HOT."""

    inserts: int
    updates: int
    hot: int

    @property
    def hot_share(self) -> float:
        """The share of updates that touched no index."""
        return self.hot / self.updates if self.updates else 1.0

    def __sub__(self, before: Updates) -> Updates:
        return Updates(self.inserts - before.inserts, self.updates - before.updates, self.hot - before.hot)


def counted(queries: Queries) -> dict[str, Updates]:
    """Return what each table has counted since its statistics began."""
    return {row["name"]: Updates(row["inserts"], row["updates"], row["hot"]) for row in queries.rows(_COUNTS)}


def changed(before: Mapping[str, Updates], after: Mapping[str, Updates]) -> dict[str, Updates]:
    """Return what has changed in each table between two counts, leaving out those in which nothing has."""
    found = {name: count - before.get(name, Updates(0, 0, 0)) for name, count in after.items()}
    return {name: change for name, change in found.items() if change.inserts or change.updates}


def sizes(queries: Queries) -> Sequence[Row]:
    """Return every table with its bytes, the largest first."""
    return queries.rows(_SIZES)


def index_sizes(queries: Queries) -> Sequence[Row]:
    """Return every index with its bytes and how often it was scanned, the largest first."""
    return queries.rows(_INDEXES)


def dead(queries: Queries) -> dict[str, Row]:
    """Return each table's dead and live rows, and how often autovacuum was there."""
    return {row["name"]: row for row in queries.rows(_COUNTS)}


def bloat_by_table(queries: Queries, names: Sequence[str]) -> dict[str, float]:
    """Return the share of each table that holds no live row: by pgstattuple where it can be had, else by estimate."""
    is_measured = bool(queries.value(_HAS_EXTENSION))
    if is_measured:
        queries.run("create extension if not exists pgstattuple")
    query = _MEASURED if is_measured else _ESTIMATED
    return {name: float(queries.value(query, {"table": name}) or 0.0) for name in names}
