"""Owns what is seen of tables: their sizes, what is dead in them, which updates were HOT, and how bloated they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.loads.queries import Queries, Row

# Statistics of other connections come in late: a backend that rests tells of its last transactions after ten seconds.
SETTLE_S = 12.0

# A table in partitions is one table here, and its indexes are one each.
_TABLE = "coalesce(pg_partition_root({0}), {0})::regclass::text"
_COUNTS = f"""
select {_TABLE.format("relid")} as name, sum(n_tup_ins)::bigint as inserts, sum(n_tup_upd)::bigint as updates,
    sum(n_tup_hot_upd)::bigint as hot, sum(n_dead_tup)::bigint as dead
from pg_stat_user_tables where schemaname = current_schema() group by 1
"""
_SIZES = f"""
select {_TABLE.format("oid")} as name, sum(pg_total_relation_size(oid))::bigint as bytes,
    sum(greatest(reltuples, 0))::bigint as rows
from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'r' group by 1 order by 2 desc
"""
_INDEXES = f"""
select {_TABLE.format("relid")} as table, {_TABLE.format("indexrelid")} as name, bool_or(i.indisunique) as is_unique,
    sum(pg_relation_size(indexrelid))::bigint as bytes, sum(idx_scan)::bigint as scans
from pg_stat_user_indexes s join pg_index i using (indexrelid)
where s.schemaname = current_schema() group by 1, 2 order by 4 desc
"""
_LEAVES = """
select c.oid::regclass::text as name from pg_class c
where c.relkind = 'r' and coalesce(pg_partition_root(c.oid), c.oid) = %(table)s::regclass
"""
_HAS_EXTENSION = "select count(*) > 0 from pg_available_extensions where name = 'pgstattuple'"
_MEASURED = f"""
select sum(approx_free_space + dead_tuple_len)::float / nullif(sum(table_len), 0)
from ({_LEAVES}) leaf, lateral pgstattuple_approx(leaf.name::regclass)
"""
# A row's own 28 bytes, its null bitmap rounded up, and its columns' mean widths; a page's 24 bytes.
_ESTIMATED = f"""
select 1 - sum(c.reltuples * (36 + coalesce((
        select sum((1 - null_frac) * avg_width) from pg_stats s
        where s.schemaname = current_schema() and s.tablename = c.relname
    ), 0))) / nullif(sum(c.relpages) * (8192 - 24), 0)
from ({_LEAVES}) leaf join pg_class c on c.oid = leaf.name::regclass
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


def leaves(queries: Queries, table: str) -> list[str]:
    """Return the tables in which a table's rows are: its partitions, or itself."""
    return [row["name"] for row in queries.rows(_LEAVES, {"table": table})]


def bloat_by_table(queries: Queries, names: Sequence[str]) -> dict[str, float]:
    """Return the share of each table that holds no live row: by pgstattuple where it can be had, else by estimate."""
    is_measured = bool(queries.value(_HAS_EXTENSION))
    if is_measured:
        queries.run("create extension if not exists pgstattuple")
    query = _MEASURED if is_measured else _ESTIMATED
    return {name: float(queries.value(query, {"table": name}) or 0.0) for name in names}
