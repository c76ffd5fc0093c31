"""Owns the comparison of the airline's rows after conversations with those that the benchmark's own tools left."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from tests.acceptance.airline.dataset import TABLES, Conversation, Row, expected
from tests.acceptance.airline.rows import stored_rows

WRITES = text("select conversation_id, tool, arguments::text, key from public.airline_writes order by id")


def row_differences(connection: Connection, conversations: Iterable[Conversation]) -> list[str]:
    """Name each conversation's rows that are not as expected: changed otherwise, not changed, or changed beside it."""
    differences = []
    for conversation_id in (each.conversation_id for each in conversations):
        wanted, got = expected()[conversation_id].changed, changed_rows(connection, conversation_id)
        for table in TABLES:
            rows = wanted.get(table, {}), got.get(table, {})
            ids = sorted(row_id for row_id in {*rows[0], *rows[1]} if rows[0].get(row_id) != rows[1].get(row_id))
            differences += [
                f"{conversation_id}: {table} {row_id}: expected {rows[0].get(row_id)}, got {rows[1].get(row_id)}"
                for row_id in ids
            ]
    return differences


def write_differences(connection: Connection, conversations: Iterable[Conversation]) -> list[str]:
    """Name each conversation whose rows were not changed by exactly the expected calls, once each and in order."""
    done, keys = _writes(connection)
    differences = [f"the key {key!r} wrote {count} times" for key, count in keys.items() if count > 1]
    for conversation_id in (each.conversation_id for each in conversations):
        calls = expected()[conversation_id].state_changing_calls
        wanted, got = [(call["tool"], call["arguments"]) for call in calls], done[conversation_id]
        if wanted != got:
            differences.append(f"{conversation_id}: expected the writes {wanted}, got {got}")
    return differences


def changed_rows(connection: Connection, conversation_id: str) -> Mapping[str, Mapping[str, Row]]:
    """Return a conversation's own rows, table by table."""
    own = {table: stored_rows(connection, table, conversation_id) for table in TABLES}
    return {table: rows for table, rows in own.items() if rows}


def _writes(connection: Connection) -> tuple[Mapping[str, list[tuple[str, Any]]], Mapping[str, int]]:
    done: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    keys: dict[str, int] = defaultdict(int)
    for conversation_id, tool, arguments, key in connection.execute(WRITES):
        done[conversation_id].append((tool, json.loads(arguments)))
        keys[key] += 1
    return done, keys
