"""The schema's state: bringing it up to date, and saying when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from agentflow import layout
from agentflow.domain.errors import ConfigError, DatabaseUnavailable, SchemaOutdated
from agentflow.store.database import probe_engine

OLDEST_POSTGRES = 15
# Two upgrades at once would trip over each other; this number is their lock's name.
_UPGRADE_LOCK = 0x6167656E74


def upgrade(url: str, schema: str) -> str:
    """Bring the schema up to date and return its revision. Safe to run from several places at once."""
    with _connected(url) as connection:
        version = int(connection.dialect.server_version_info[0])
        if version < OLDEST_POSTGRES:
            raise ConfigError(f"PostgreSQL {version} is too old: agentflow needs {OLDEST_POSTGRES} or later")
        with connection.begin():
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            connection.execute(text("set local lock_timeout = '5s'"))
            connection.execute(text(f'create schema if not exists "{schema}"'))
            connection.execute(text(f'set local search_path to "{schema}"'))
            command.upgrade(_config(connection, schema), "head")
        return head()


def check(url: str, schema: str) -> str:
    """Return the schema's revision; raise SchemaOutdated where it is not the one this code was written for."""
    with _connected(url) as connection:
        current = _current(connection, schema)
    if current is None:
        raise SchemaOutdated(f"the database has no schema {schema!r} yet: run `agentflow db upgrade`")
    if current == head():
        return current
    known = {script.revision for script in ScriptDirectory.from_config(_config(None, schema)).walk_revisions()}
    if current not in known:
        raise SchemaOutdated(
            f"the schema is at {current!r}, which this agentflow does not know: install a newer agentflow"
        )
    raise SchemaOutdated(f"the schema is at {current!r}, behind {head()!r}: run `agentflow db upgrade`")


def head() -> str:
    """Return the newest revision that this code knows."""
    revision = ScriptDirectory.from_config(_config(None, "")).get_current_head()
    assert revision is not None
    return revision


def _current(connection: Connection, schema: str) -> str | None:
    options = {"version_table": "schema_version", "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _config(connection: Connection | None, schema: str) -> Config:
    config = Config()
    folder: Path = layout.path("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, schema=schema)
    return config


def _connected(url: str) -> Any:
    try:
        return probe_engine(url).connect()
    except OperationalError as error:
        line = str(error.orig).strip().split("\n")[0]
        raise DatabaseUnavailable(f"the database cannot be reached: {line}; check AGENTFLOW_DATABASE_URL") from error
