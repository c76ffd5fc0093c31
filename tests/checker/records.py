"""Owns how the checker reads: one snapshot of the database in plain rows, JSON left as the text that is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor, register_default_json, register_default_jsonb
from sqlalchemy import make_url

Row = Mapping[str, Any]

_ESCAPE = "\ue000"


class Records:
    """The rows of one moment."""

    def __init__(self, connection: Any, schema: str) -> None:
        self.schema = schema
        self._connection = connection

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return what a statement finds; `{schema}` stands for the schema's name."""
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(statement.replace("{schema}", f'"{self.schema}"'), values)
            return cursor.fetchall()


@contextmanager
def reading(database_url: str, schema: str) -> Iterator[Records]:
    """Open a snapshot that nothing can be written in."""
    with connected(database_url) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield Records(connection, schema)


@contextmanager
def connected(database_url: str) -> Iterator[Any]:
    """Open a connection whose JSON is text; what was not committed in the end is taken back."""
    plain = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg2.connect(plain, application_name="checker")
    try:
        # What cannot be parsed is a finding, and must not end the search for others.
        register_default_json(connection, loads=lambda stored: stored)
        register_default_jsonb(connection, loads=lambda stored: stored)
        yield connection
    finally:
        connection.close()


def parse(stored: str | None) -> Any:
    """Return a stored JSON value; raise ValueError where it cannot be read, or holds what no text can."""
    if stored is None:
        return None
    try:
        value = json.loads(stored)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return unescaped(value)


def parsed(stored: str | None) -> Any:
    """Return a stored JSON value, None for one that cannot be read: the reading of every row tells of those."""
    try:
        return parse(stored)
    except ValueError:
        return None


def unescaped(value: Any) -> Any:
    """Return a stored value as it was given: NUL is kept as an escape, since Postgres refuses it."""
    match value:
        case str() if _ESCAPE in value:
            return value.replace(f"{_ESCAPE}0", "\x00").replace(f"{_ESCAPE}1", _ESCAPE)
        case dict():
            return {unescaped(name): unescaped(each) for name, each in value.items()}
        case list():
            return [unescaped(each) for each in value]
        case _:
            return value


def step_of(row: Row) -> str:
    """Return the name that violations call a step by."""
    return f"run {row['run_id']} step {row['step_index']}"
