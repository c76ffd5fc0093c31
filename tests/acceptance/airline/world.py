"""Owns one process's way to the airline's database: its connections, and the base's flights, which never change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

from sqlalchemy import create_engine

from tests.acceptance.airline.dataset import Row
from tests.acceptance.airline.rows import BASE, PostgresRows, stored_rows


class World:
    """The airline, seen from one process."""

    def __init__(self, database_url: str) -> None:
        self.engine = create_engine(database_url, pool_size=2, max_overflow=20, pool_pre_ping=True)
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @cached_property
    def timetable(self) -> Mapping[str, Row]:
        """The base's flights by number."""
        with self._reading.connect() as connection:
            return stored_rows(connection, "flights", BASE)

    @contextmanager
    def rows(self, conversation_id: str) -> Iterator[PostgresRows]:
        """A conversation's copy, to read from."""
        timetable = self.timetable
        with self._reading.connect() as connection:
            yield PostgresRows(connection, conversation_id, timetable)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()
