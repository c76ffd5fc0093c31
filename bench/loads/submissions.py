"""Measures ten thousand submissions at once by four processes: one by one, and many in a transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from agentflow import Client
from bench.figures import Broken, Figure, percentile
from bench.loads.queries import Queries, querying
from bench.stack import Stack

SUBMISSIONS, CLIENTS = 10_000, 4

_AGENT = "plain_line"
_PER_TRANSACTION = 100
_WATCHED_S = 15.0
_COUNT = "select count(*) from agent_runs"
_OPEN = "select count(*) from agent_runs where finished_at is null"

Urls = tuple[str, str]


def measure(folder: Path) -> Iterator[Figure]:
    """Yield both rates and what one submission takes, beside workers that are at the runs meanwhile."""
    with Stack(folder, {"AGENTFLOW_AGENTS": "bench.loads.agents"}) as stack, querying(stack.database_url) as queries:
        urls = (stack.database_url, stack.redis_url)
        # A pool's children are new processes: this one has threads, and connections that are its own.
        with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as clients:
            yield from _measure_way(clients, queries, urls, "one by one", submit_one_by_one)
            yield from _measure_way(clients, queries, urls, f"{_PER_TRANSACTION} in a transaction", submit_together)
        yield Figure("runs that end each second with all that behind them", _ending_per_s(queries), "/s")


def _ending_per_s(queries: Queries) -> float:
    before, began = queries.value(_OPEN), time.monotonic()
    time.sleep(_WATCHED_S)
    return (before - queries.value(_OPEN)) / (time.monotonic() - began)


def submit_one_by_one(urls: Urls, submissions: int) -> list[float]:
    """Submit so many, and return what each took in milliseconds."""
    database_url, redis_url = urls
    with Client(database_url=database_url, redis_url=redis_url) as client:
        client.submit(_AGENT, {"number": 0})
        return [_timed_ms(partial(client.submit, _AGENT, {"number": number})) for number in range(1, submissions)]


def submit_together(urls: Urls, submissions: int) -> list[float]:
    """Submit so many in transactions of many, and return what each transaction took in milliseconds."""
    database_url, redis_url = urls
    engine = create_engine(database_url)
    with Client(database_url=database_url, redis_url=redis_url) as client:
        return [_timed_ms(partial(_submit_many, client, engine)) for _ in range(submissions // _PER_TRANSACTION)]


def _submit_many(client: Client, engine: Engine) -> None:
    with Session(engine) as session:
        for number in range(_PER_TRANSACTION):
            client.submit(_AGENT, {"number": number}, session=session)
        session.commit()


def _timed_ms(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def _measure_way(
    clients: ProcessPoolExecutor, queries: Queries, urls: Urls, name: str, submit: Callable[[Urls, int], list[float]]
) -> Iterator[Figure]:
    each = SUBMISSIONS // CLIENTS
    # The processes are started, and have imported what they need, before anything is counted.
    list(clients.map(submit, [urls] * CLIENTS, [_PER_TRANSACTION] * CLIENTS))
    before, began = int(queries.value(_COUNT)), time.perf_counter()
    taken_ms: Sequence[float] = list(chain(*clients.map(submit, [urls] * CLIENTS, [each] * CLIENTS)))
    lasted_s, made = time.perf_counter() - began, int(queries.value(_COUNT)) - before
    if made != each * CLIENTS:
        raise Broken(f"of {each * CLIENTS:,} submissions {made:,} are runs")
    yield Figure(f"submissions, {CLIENTS} clients, {name}", made / lasted_s, "/s")
    yield Figure("  one call: median", percentile(taken_ms, 50), "ms")
    yield Figure("  one call: p99", percentile(taken_ms, 99), "ms")
