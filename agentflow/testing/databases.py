"""A migrated database for each test, copied from one that was migrated once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, make_url, text

from agentflow.settings import postgres_url
from agentflow.store import schema
from agentflow.store.database import probe_engine


@dataclass(frozen=True, slots=True)
class Databases:
    """A server on which databases are made from a migrated template."""

    url: str
    template: str
    engine: Engine

    @classmethod
    @contextmanager
    def on(cls, url: str) -> Iterator[Databases]:
        """Migrate a template on the server at `url`, and drop it in the end."""
        engine = probe_engine(postgres_url(url)).execution_options(isolation_level="AUTOCOMMIT")
        databases = cls(postgres_url(url), f"agentflow_template_{uuid.uuid4().hex[:12]}", engine)
        with databases._connected() as connection:
            connection.execute(text(f'create database "{databases.template}"'))
        schema.upgrade(databases._url_of(databases.template), "agentflow")
        yield databases
        databases.drop(databases.template)

    def create(self, name: str) -> str:
        """Make a migrated database and return its URL."""
        with self._connected() as connection:
            connection.execute(text(f'create database "{name}" template "{self.template}" strategy file_copy'))
        return self._url_of(name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        with self._connected() as connection:
            connection.execute(text(f'drop database if exists "{name}" with (force)'))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection

    def _url_of(self, name: str) -> str:
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)
