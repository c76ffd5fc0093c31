"""Measures the floor under a step: pgbench's rate of one transaction of an update and an insert, 8 connections."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2

from agentflow.local.binaries import find_postgres
from bench.figures import Broken, Skipped
from bench.usage import Meter

CONNECTIONS = 8

_LONG_S = 3
_THREADS = 2
_ROWS = 10_000
_TABLES = """
create table if not exists bench_counters (id integer primary key, value integer not null);
insert into bench_counters select number, 0 from generate_series(1, %s) number on conflict do nothing;
create table if not exists bench_entries (id integer not null, value text not null);
"""
_SCRIPT = f"""
\\set chosen random(1, {_ROWS})
begin;
update bench_counters set value = value + 1 where id = :chosen;
insert into bench_entries values (:chosen, '{"result " * 8}');
commit;
"""
_DONE = re.compile(r"transactions actually processed: (\d+)")
_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Floor:
    """Transactions per second, and the CPU seconds that a thousand of them take, server and clients together."""

    per_second: float
    cpu_s_per_1000: float


def measure_floor(database_url: str, meter: Callable[[], Meter], *, seconds: int = _LONG_S) -> Floor:
    """Run pgbench for a while; `meter` makes one that counts what the server and this process's children use."""
    address = database_url.replace("+psycopg2", "", 1)
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_TABLES, [_ROWS])
    counted = meter()
    said = _pgbench(address, seconds)
    done, rate = _DONE.search(said), _RATE.search(said)
    if not done or not rate or not int(done[1]):
        raise Broken(f"pgbench did no transactions: {said[-500:]}")
    return Floor(float(rate[1]), sum(counted.by_name().values()) / int(done[1]) * 1000)


def _pgbench(address: str, seconds: int) -> str:
    program = find_postgres().path.with_name("pgbench")
    if not program.exists():
        raise Skipped(f"there is no pgbench beside {str(program.with_name('postgres'))!r}")
    parts = urlsplit(address)
    with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder:
        script = Path(folder, "floor.sql")
        script.write_text(_SCRIPT, encoding="utf-8")
        place = ["-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username)]
        shape = ["-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", str(_THREADS), "-T", str(seconds)]
        done = subprocess.run(
            [str(program), *place, *shape, "-f", str(script), parts.path.lstrip("/")],
            env={**os.environ, "PGPASSWORD": unquote(parts.password or "")},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stdout if done.returncode == 0 else done.stderr
