"""pgqueuer: a job for each step, over asyncpg. It keeps no results: the step writes a row of its own.

The row, the next job and the end of this one are transactions of their own; the row comes first, so that it is durable
before the next step begins.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, Job, PgQueuer, Queries

from bench.peers.work import STEPS, database_url, do_step

BATCH = 10

_RESULTS = """
create table results (
    run bigint not null, step integer not null, result jsonb not null, at timestamptz not null default now(),
    primary key (run, step)
)
"""
_STORE = "insert into results (run, step, result) values ($1, $2, $3) on conflict do nothing"


def prepare() -> None:
    """Make its tables and the one of the results."""
    asyncio.run(_prepare())


async def _prepare() -> None:
    connection = await asyncpg.connect(database_url())
    await Queries(AsyncpgDriver(connection)).install()
    await connection.execute(_RESULTS)
    await connection.close()


def work(_name: str) -> None:
    """Take jobs in batches."""
    uvloop.run(_work())


async def _work() -> None:
    pool = await asyncpg.create_pool(database_url(), min_size=2, max_size=10)
    driver = AsyncpgPoolDriver(pool)
    queues, worker = Queries(driver), PgQueuer(driver)

    @worker.entrypoint("step")
    async def step(job: Job) -> None:
        run, number = json.loads(job.payload or b"")
        await pool.execute(_STORE, run, number, json.dumps(do_step(number)))
        if number + 1 < STEPS:
            await queues.enqueue("step", _payload(run, number + 1))

    await worker.run(batch_size=BATCH)


def connect() -> Callable[[int], None]:
    """Return what submits so many runs."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(database_url()))
    queues = Queries(AsyncpgDriver(connection))
    runs = iter(range(1_000_000_000))

    async def enqueue(count: int) -> None:
        for _ in range(count):
            await queues.enqueue("step", _payload(next(runs), 0))

    return lambda count: loop.run_until_complete(enqueue(count))


def _payload(run: int, number: int) -> bytes:
    return json.dumps([run, number]).encode()
