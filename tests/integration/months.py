"""Owns months that are over: a schema that was made in March, runs whose ids are of any month, and what lies where."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import time_machine
import uuid_utils
from sqlalchemy import Connection, text

from agentflow import Pipeline, tool
from agentflow.store import schema
from agentflow.store.database import probe_engine
from agentflow.store.partitions import TABLES, Partition
from agentflow.testing import Harness
from tests.integration.workers.releases import make_release, released

MARCH, APRIL, MAY, JUNE, JULY = (datetime(2026, month, 10, 15, tzinfo=UTC) for month in range(3, 8))
_WORKERS = 3
# As clients of the release before the partitions submit, and look for the run of a key that is taken.
_SUBMIT_OF_0004 = """
    insert into agentflow.agent_runs (run_id, agent, agent_version, queue, input_payload, input_hash, idempotency_key)
    values (%(run_id)s, 'looking', '1', 'q', '{}', '', %(key)s)
    on conflict do nothing
    returning run_id
"""
_LOOKUP_OF_0004 = """
    select run_id from agentflow.agent_runs
    where run_id = %(run_id)s or (tenant = 'default' and idempotency_key = %(key)s)
"""


@tool(effect="read")
def look() -> str:
    return "seen"


@tool(effect="read")
def tell(look: str) -> str:
    return f"told of what was {look}"


looking = Pipeline("looking", [look, tell])


def begin_in_march(url: str) -> str:
    """Make the database's schema anew, as in March, with partitions until June; its tables until then are the first."""
    drop_schema(url)
    with time_machine.travel(MARCH):
        schema.upgrade(url, "agentflow")
    for month in (APRIL, MAY):
        make_ahead(url, month)
    return url


def begin_at_0004(url: str, folder: Path) -> None:
    """Make the database's schema anew, as the revision before the partitions has it."""
    drop_schema(url)
    migrations = make_release(folder, ())
    (migrations / "versions" / "0005_partitions.py").unlink()
    with released(migrations):
        assert schema.upgrade(url, "agentflow") == "0004"


def drop_schema(url: str) -> None:
    with probe_engine(url).begin() as connection:
        connection.execute(text("drop schema agentflow cascade"))


def make_ahead(url: str, now: datetime) -> list[str]:
    """Make the partitions ahead of a day, and return their suffixes."""
    with time_machine.travel(now):
        return [each.suffix for each in schema.make_partitions(url, "agentflow")]


def suffixes(url: str) -> list[str]:
    return [each.suffix for each in partitions(url)]


def partitions(url: str) -> Sequence[Partition]:
    return schema.read_partitions(url, "agentflow")


@contextmanager
def submitted_at(moment: datetime) -> Iterator[None]:
    """Have runs submitted here carry the ids of another time, as if they had been submitted then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uuid_utils.uuid7", partial(uuid_utils.uuid7, nanoseconds=int(moment.timestamp()) * 10**9))
        yield


def lying(url: str, run_id: str) -> Mapping[str, str]:
    """Return the suffix of the partition that a run's rows lie in, by table; tables without rows of it are left out."""
    with probe_engine(url).connect() as connection:
        found = {}
        for table in TABLES:
            query = f"select distinct tableoid::regclass::text from agentflow.{table} where run_id = :run_id"
            names = connection.execute(text(query), {"run_id": run_id}).scalars().all()
            if names:
                [name] = names
                found[table] = name.removeprefix("agentflow.").removeprefix(f"{table}_")
        return found


def days(count: int) -> timedelta:
    return timedelta(days=count)


def run_id_at(moment: datetime) -> str:
    """Return an id as a run's that is submitted at a time."""
    return str(uuid_utils.uuid7(nanoseconds=int(moment.timestamp()) * 10**9))


def count(url: str, table: str) -> int:
    with probe_engine(url).connect() as connection:
        return int(connection.execute(text(f"select count(*) from agentflow.{table}")).scalar_one())


@contextmanager
def going_on(url: str) -> Iterator[list[str]]:
    """Run one keyed run after another, in several threads, and yield how they ended; at the end all of them have."""
    ended: list[str] = []
    stop = threading.Event()

    def work(number: int) -> None:
        with closing(Harness(url)) as harness:
            while not stop.is_set():
                run = harness.run(looking, None, idempotency_key=f"{number}:{uuid_utils.uuid7()}")
                ended.append(run.status)

    with ThreadPoolExecutor(_WORKERS) as threads:
        working = [threads.submit(work, number) for number in range(_WORKERS)]
        try:
            yield ended
        finally:
            stop.set()
        for each in working:
            each.result(timeout=30)


def submit_of_0004(connection: Connection, run_id: str, key: str) -> str:
    """Submit a run as a client of the release before the partitions does, and return the run that it came to."""
    values = {"run_id": run_id, "key": key}
    with connection.begin():
        inserted = connection.exec_driver_sql(_SUBMIT_OF_0004, values).scalars().all()
        found = inserted or connection.exec_driver_sql(_LOOKUP_OF_0004, values).scalars().all()
    [came_to] = found
    return str(came_to)


@contextmanager
def submitting_of_0004(url: str, keys: int) -> Iterator[Mapping[str, set[str]]]:
    """Have old clients submit the same keys all the while, round and round, and yield what runs each key came to."""
    came: dict[str, set[str]] = {f"key {number}": set() for number in range(keys)}
    stop = threading.Event()

    def submit() -> None:
        with probe_engine(url).connect() as connection:
            for key in itertools.cycle(came):
                if stop.is_set():
                    return
                came[key].add(submit_of_0004(connection, run_id_at(datetime.now(UTC)), key))

    with ThreadPoolExecutor(_WORKERS) as threads:
        submitting = [threads.submit(submit) for _ in range(_WORKERS)]
        try:
            yield came
        finally:
            stop.set()
        for each in submitting:
            each.result(timeout=30)
