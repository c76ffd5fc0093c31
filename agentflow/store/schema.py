"""The schema's state: bringing it up to date beneath workers that go on, and saying when it is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from alembic import command
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from agentflow.domain.errors import ConfigError, DatabaseUnavailable, SchemaOutdated
from agentflow.store import partitions, revisions
from agentflow.store.database import probe_engine
from agentflow.store.partitions import Partition
from agentflow.store.short_locks import PATIENCE_S, NoMoment, give_way, patiently

OLDEST_POSTGRES = 15
# Two upgrades at once would trip over each other; this number is their lock's name.
_UPGRADE_LOCK = 0x6167656E74
_PAUSE_S = 0.5


def upgrade(url: str, schema: str, *, patience_s: float = PATIENCE_S) -> str:
    """Bring the schema up to date and return its revision. Safe to run from several places at once, and beside workers.

    Each revision is a transaction of its own, tried again for `patience_s` where others have locks on its tables. A
    schema that is newer than this code, and serves it, is left as it is: what was rolled back runs this too.
    """
    with _connected(url) as connection:
        version = int((connection.dialect.server_version_info or (0,))[0])
        if version < OLDEST_POSTGRES:
            raise ConfigError(f"PostgreSQL {version} is too old: agentflow needs {OLDEST_POSTGRES} or later")
        with _alone(connection):
            connection.execute(text(f'create schema if not exists "{schema}"'))
            connection.execute(text(f'set search_path to "{schema}"'))
            give_way(connection)
            return _climb(connection, schema, patience_s)


def check(url: str, schema: str) -> str:
    """Return the schema's revision: this code's own, or a newer one that serves it; raise SchemaOutdated for others."""
    with _connected(url) as connection:
        current = _current(connection, schema)
        if current is None:
            raise SchemaOutdated(f"the database has no schema {schema!r} yet: run `agentflow db upgrade`")
        if current not in revisions.known():
            return _newer(connection, schema, current)
    if current != head():
        raise SchemaOutdated(f"the schema is at {current!r}, behind {head()!r}: run `agentflow db upgrade`")
    return current


def make_partitions(url: str, schema: str, *, patience_s: float = PATIENCE_S) -> Sequence[Partition]:
    """Make the partitions of the coming months that are missing, and return those made."""
    with _connected(url) as connection:
        give_way(connection)
        return _make_partitions(connection, schema, patience_s)


def read_partitions(url: str, schema: str) -> Sequence[Partition]:
    """Return the partitions in the order of their times, the default one last."""
    with _connected(url) as connection:
        return partitions.listing(connection, schema)


def head() -> str:
    """Return the newest revision that this code knows."""
    return revisions.known()[-1]


def _climb(connection: Connection, schema: str, patience_s: float) -> str:
    """Run what revisions are still to run, one by one."""
    current, known = _current(connection, schema), revisions.known()
    connection.commit()
    if current is not None and current not in known:
        return _newer(connection, schema, current)
    for revision in known[known.index(current) + 1 if current else 0 :]:
        _run(connection, schema, revision, patience_s)
    _make_partitions(connection, schema, patience_s)
    return known[-1]


def _run(connection: Connection, schema: str, revision: str, patience_s: float) -> None:
    config = revisions.config(connection, schema)
    try:
        patiently(connection, lambda: command.upgrade(config, revision), patience_s)
    except NoMoment as error:
        raise DatabaseUnavailable(
            f"the revision {revision!r} found no moment without locks on its tables, and is not done: "
            "run `agentflow db upgrade` again when long transactions are over"
        ) from error


def _make_partitions(connection: Connection, schema: str, patience_s: float) -> Sequence[Partition]:
    try:
        return partitions.make_ahead(connection, schema, datetime.now(UTC), patience_s=patience_s)
    except NoMoment as error:
        raise DatabaseUnavailable(
            "no moment without locks was found to make the coming months' partitions: "
            "run `agentflow db upgrade` again when long transactions are over"
        ) from error


def _newer(connection: Connection, schema: str, current: str) -> str:
    if head() in revisions.read_served(connection, schema, current):
        return current
    raise SchemaOutdated(f"the schema is at {current!r}, which this agentflow does not know: install a newer agentflow")


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold the upgrades' lock, by asking now and then: who waits inside a statement blocks concurrent indexes."""
    query = text("select pg_try_advisory_lock(:key)")
    while not connection.execute(query, {"key": _UPGRADE_LOCK}).scalar_one():
        connection.commit()
        threading.Event().wait(_PAUSE_S)
    connection.commit()
    # Its session's end gives it back.
    yield


def _current(connection: Connection, schema: str) -> str | None:
    options = {"version_table": revisions.VERSION_TABLE, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _connected(url: str) -> Connection:
    try:
        return probe_engine(url).connect()
    except OperationalError as error:
        line = str(error.orig).strip().split("\n")[0]
        raise DatabaseUnavailable(f"the database cannot be reached: {line}; check AGENTFLOW_DATABASE_URL") from error
