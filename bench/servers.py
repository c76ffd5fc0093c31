"""Owns what a benchmark sets on an embedded server beside its usual settings: in its data directory, nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from agentflow.local import attach
from bench import usage
from bench.waiting import until

# For pg_stat_statements, which counts each statement at once; it costs a little of each.
COUNTING_STATEMENTS = {"shared_preload_libraries": "pg_stat_statements"}


def set_up_postgres(data_dir: Path, settings: Mapping[str, str]) -> None:
    """Write settings into the server's own file; those that count from its start only count from the next one."""
    with attach(data_dir, valkey=False) as services, closing(connect(services.database_url)) as connection:
        for name, value in settings.items():
            change = sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            with connection.cursor() as cursor:
                cursor.execute(change)
    until(lambda: not usage.servers(data_dir), "end of the server")


def connect(database_url: str) -> psycopg2.extensions.connection:
    """Connect by the driver alone, each statement a transaction of its own."""
    connection = psycopg2.connect(database_url.replace("+psycopg2", "", 1))
    connection.autocommit = True
    return connection
