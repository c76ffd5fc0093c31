"""Owns the shape of copies: how the rows of one real run become those of another, by SQL, at another time.

A column is known by what it is, so that a table that gains columns is filled without a word here. `t` is the row of
the run that was, `n` the run that is made of it: its id, the id that was, and how far it lies in the past.
"""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Table
from sqlalchemy.dialects.postgresql import UUID

from agentflow.store.tables import metadata

TEMPLATES = "bench_growth"

_OWN_IDS = {"message_id", "approval_id", "claim_token"}
_KEYS = {"key", "idempotency_key"}
_HASHES = {"hash", "parent", "prompt_head"}


def filled_tables() -> list[Table]:
    """Return the tables in which a run leaves rows, those first that others refer to."""
    return [table for table in metadata.sorted_tables if "run_id" in table.c or table.name == "messages"]


def copied_columns(table: Table) -> dict[str, str]:
    """Return for each column of a table the expression that it is filled with."""
    return {
        column.name: _expression(column)
        for column in table.columns
        if column.identity is None and column.computed is None
    }


def uuid7_at(moment: str) -> str:
    """Return an expression for an id as a client would have made it at a moment."""
    random = "md5(random()::text || clock_timestamp()::text)"
    milliseconds = f"lpad(to_hex((extract(epoch from {moment}) * 1000)::bigint), 12, '0')"
    return f"({milliseconds} || '7' || substr({random}, 1, 3) || '8' || substr({random}, 4, 15))::uuid"


def _expression(column: Column[object]) -> str:
    name = column.name
    if name == "run_id":
        return "n.run_id"
    if name in _OWN_IDS and isinstance(column.type, UUID):
        return f"case when t.{name} is not null then gen_random_uuid() end"
    if name in _KEYS:
        return _own_key(name)
    if name in _HASHES:
        return _own_hash(name)
    if isinstance(column.type, DateTime):
        return f"t.{name} - n.ago"
    return f"t.{name}"


def _own_key(name: str) -> str:
    has_id = f"position(n.template::text in t.{name}) > 0"
    replaced = f"replace(t.{name}, n.template::text, n.run_id::text)"
    return f"case when {has_id} then {replaced} else t.{name} || ':' || n.run_id end"


def _own_hash(name: str) -> str:
    """What all runs of an agent say is stored once; what follows the customer's own words is each run's own."""
    shared = f"t.{name} in (select hash from {TEMPLATES}.shared)"
    return f"case when {shared} then t.{name} else sha256(t.{name} || uuid_send(n.run_id)) end"
