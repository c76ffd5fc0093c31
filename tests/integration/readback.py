"""Owns the look at what tests leave behind: every row of every table reads back, through the client's reads as well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import exists, literal, select, union_all

from agentflow.store.database import Database, Transaction
from agentflow.store.tables import metadata
from agentflow.testing import Harness

_MOST_RUNS = 1_000
# Most tables are empty after most tests: to ask so in one statement saves their own.
_FILLED = union_all(
    *(
        select(literal(name)).where(exists(select(literal(1)).select_from(table)))
        for name, table in metadata.tables.items()
    )
)


def read_everything(harness: Harness) -> int:
    """Read all there is and return how many rows that was; raise where one cannot be read, or is no text and JSON."""
    rows = _rows(harness.database)
    for row in rows:
        for value in row.values():
            _check(value)
    for run in harness.client.list(most=_MOST_RUNS):
        _read_run(harness, run.run_id)
    return len(rows)


def count_runs(harness: Harness) -> int:
    """How many runs were ever accepted."""
    return len(harness.client.list(most=_MOST_RUNS))


def _rows(database: Database) -> list[Mapping[str, Any]]:
    def body(tx: Transaction) -> list[Mapping[str, Any]]:
        connection = tx.connection.execution_options(schema_translate_map={None: database.schema})
        filled = set(connection.scalars(_FILLED))
        tables = [table for name, table in metadata.tables.items() if name in filled]
        return [dict(row) for table in tables for row in connection.execute(select(table)).mappings()]

    return database.atomically(body)


def _read_run(harness: Harness, run_id: str) -> None:
    client = harness.client
    assert client.get(run_id).run_id == run_id
    for read in (client.steps, client.transitions, client.interventions, client.outbox):
        for row in read(run_id):
            assert row
    assert all(str(row["run_id"]) == run_id for row in client.approvals.list(run_id=run_id, status=None))
    assert all(str(row["run_id"]) == run_id for row in client.messages.list(run_id=run_id))


def _check(value: Any) -> None:
    """Whoever reads a row can write it down: as UTF-8, with numbers that are some."""
    for text in _texts(value):
        text.encode()
    if isinstance(value, dict | list | float):
        json.dumps(value, allow_nan=False)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
