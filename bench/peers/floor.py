"""Measures the floor: one transaction of an update and an insert, by pgbench, or by loops in Python without it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from bench.figures import Broken
from bench.peers.servers import Servers
from bench.peers.work import do_step

CONNECTIONS = 8

_THREADS, _LONG_S, _ROWS = 2, 2, 10_000
_TABLES = f"""
create table runs (id integer primary key, current integer not null, updated_at timestamptz not null);
create table steps (run_id integer not null, number bigint generated always as identity, result jsonb not null,
    created_at timestamptz not null default now(), primary key (run_id, number));
insert into runs select number, 0, now() from generate_series(1, {_ROWS}) number
"""
_UPDATE = "update runs set current = current + 1, updated_at = now() where id = :run"
_INSERT = f"insert into steps (run_id, result) values (:run, '{json.dumps(do_step(1))}')"
_PER_SECOND = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Floor:
    """Transactions per second, and by what they were made."""

    per_second: float
    by: str

    def as_json(self) -> dict[str, Any]:
        """Return the floor as JSON data."""
        return asdict(self)


def take_floor(servers: Servers, folder: Path) -> Floor:
    """Measure it in a database of its own."""
    pgbench = servers.programs / "pgbench"
    with servers.database("bench_floor") as url:
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(_TABLES)
        if pgbench.is_file():
            return Floor(_by_pgbench(pgbench, url, folder), f"pgbench, {CONNECTIONS} connections")
        return Floor(_by_loops(url), f"loops in Python, {CONNECTIONS} connections")


def _by_pgbench(program: Path, url: str, folder: Path) -> float:
    script, place = folder / "floor.sql", urlsplit(url)
    lines = (f"\\set run random(1, {_ROWS})", "begin;", f"{_UPDATE};", f"{_INSERT};", "commit;")
    script.write_text("\n".join(lines), encoding="utf-8")
    options = f"--no-vacuum --protocol=prepared --client={CONNECTIONS} --jobs={_THREADS} --time={_LONG_S}".split()
    done = subprocess.run(
        [str(program), *options, f"--file={script}", f"--host={place.hostname}", f"--port={place.port}",
         f"--username={place.username}", place.path.strip("/")],
        check=False, capture_output=True, text=True, env={**os.environ, "PGPASSWORD": place.password or ""},
    )  # fmt: skip
    found = _PER_SECOND.search(done.stdout)
    if not found:
        raise Broken(f"pgbench measured nothing: {done.stderr.strip()[-300:]}")
    return float(found[1])


def _by_loops(url: str) -> float:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return sum(threads.map(_loop, [url] * CONNECTIONS)) / _LONG_S


def _loop(url: str) -> int:
    done, statements = 0, [each.replace(":run", "%(run)s") for each in (_UPDATE, _INSERT)]
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        end = time.monotonic() + _LONG_S
        while time.monotonic() < end:
            run = random.randint(1, _ROWS)
            for statement in statements:
                cursor.execute(statement, {"run": run})
            connection.commit()
            done += 1
    return done
