"""Owns emptying a database: of all its tables and partitions those that hold something, which are few."""

from __future__ import annotations

from sqlalchemy import text

from agentflow.store.database import probe_engine

_FILLED = text("""
    select string_agg(format('agentflow.%I', relname), ', ') from pg_class
    where relnamespace = 'agentflow'::regnamespace and relkind = 'r' and relname <> 'schema_version'
        and pg_relation_size(oid) > 0
""")


def empty(url: str) -> None:
    """Leave no row in any table but the schema's version."""
    with probe_engine(url).begin() as connection:
        if filled := connection.execute(_FILLED).scalar_one():
            connection.execute(text(f"truncate {filled}"))
