"""Measures the floor under a step: one transaction of an update and an insert, in a loop, on the same server."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver writes its classes small

from bench.usage import Meter

# As many as the default pool has processes.
CONNECTIONS = 2

_LONG_S = 3.0
_TABLES = """
create table if not exists bench_counters (id integer primary key, value integer not null);
insert into bench_counters select number, 0 from generate_series(0, %s) number on conflict do nothing;
create table if not exists bench_entries (id integer not null, value integer not null)
"""


@dataclass(frozen=True, slots=True)
class Floor:
    """Transactions per second, and the CPU seconds that a thousand of them take, server and clients together."""

    per_second: float
    cpu_s_per_1000: float


def measure_floor(database_url: str, meter: Callable[[], Meter]) -> Floor:
    """Run a few loops side by side; `meter` makes one that counts what server and clients use."""
    address = database_url.replace("+psycopg2", "", 1)
    with ExitStack() as open_, ThreadPoolExecutor(CONNECTIONS) as threads:
        connections = [open_.enter_context(closing(psycopg2.connect(address))) for _ in range(CONNECTIONS)]
        with connections[0], connections[0].cursor() as cursor:
            cursor.execute(_TABLES, [CONNECTIONS])
        counted = meter()
        done = sum(threads.map(_loop, connections, range(CONNECTIONS)))
        return Floor(done / _LONG_S, sum(counted.by_name().values()) / done * 1000)


def _loop(connection: Connection, number: int) -> int:
    done, end = 0, time.monotonic() + _LONG_S
    while time.monotonic() < end:
        with connection, connection.cursor() as cursor:
            cursor.execute("update bench_counters set value = value + 1 where id = %s", [number])
            cursor.execute("insert into bench_entries values (%s, %s)", [number, done])
        done += 1
    return done
