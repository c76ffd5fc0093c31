"""Owns the airline's tables: their making, the base copy in them, and a fresh start for every conversation."""

from __future__ import annotations

import json

from sqlalchemy import Connection, text

from tests.acceptance.airline.dataset import TABLES, base_rows
from tests.acceptance.airline.rows import BASE, SAVE

CREATE_ROWS = """
create table public.airline_{table} (
    conversation_id text,
    id text,
    row json not null,
    primary key (conversation_id, id)
)"""
# Not unique by key: a write that happens twice has to show, not to fail.
CREATE_WRITES = """
create table public.airline_writes (
    id bigint generated always as identity primary key,
    conversation_id text not null,
    tool text not null,
    arguments json not null,
    key text not null,
    at timestamptz not null default clock_timestamp()
)"""
CREATE_KEYS = """
create table public.airline_keys (
    key text primary key,
    tool text not null,
    request text not null,
    answer text,
    repeats integer not null default 0
)"""


def create_tables(connection: Connection) -> None:
    """Create the tables and fill the base copy from the data folder."""
    for statement in (*(CREATE_ROWS.format(table=table) for table in TABLES), CREATE_WRITES, CREATE_KEYS):
        connection.execute(text(statement))
    for table in TABLES:
        rows = base_rows(table).items()
        values = [{"conversation_id": BASE, "id": row_id, "row": json.dumps(row)} for row_id, row in rows]
        connection.execute(SAVE[table], values)


def forget_conversations(connection: Connection) -> None:
    """Leave the base copy alone, so that every conversation starts from it again."""
    for table in TABLES:
        connection.execute(text(f"delete from public.airline_{table} where conversation_id <> ''"))
    connection.execute(text("truncate public.airline_writes, public.airline_keys"))
