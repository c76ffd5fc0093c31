"""LangGraph with checkpoints in Postgres, written before the next node begins. It has no queue.

So the client deals whole runs out to processes of its own, in its favour: after a crash nobody would call the graph
again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypedDict
from uuid import uuid4

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from bench.peers.work import STEPS, database_url, do_step

PROCESSES, THREADS = 2, 8


class State(TypedDict):
    """What the nodes hand on."""

    result: dict[str, object]


def prepare() -> None:
    """Make its tables."""
    with PostgresSaver.from_conn_string(database_url()) as saver:
        saver.setup()


def connect() -> Callable[[int], None]:
    """Return what does so many runs."""
    pool = ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn"))

    def submit(count: int) -> None:
        shares = [len(range(place, count, PROCESSES)) for place in range(PROCESSES)]
        list(pool.map(_do, [share for share in shares if share]))

    return submit


def _do(count: int) -> None:
    graph, threads = _ready()
    list(threads.map(partial(_run, graph), range(count)))


def _run(graph: Any, _number: int) -> None:
    graph.invoke({"result": {}}, {"configurable": {"thread_id": uuid4().hex}}, durability="sync")


@cache
def _ready() -> tuple[Any, ThreadPoolExecutor]:
    """Return this process's graph and threads; each thread has a connection."""
    connections = ConnectionPool(
        database_url(),
        min_size=THREADS,
        max_size=THREADS,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    return _graph(PostgresSaver(connections)), ThreadPoolExecutor(THREADS)


def _graph(saver: PostgresSaver) -> Any:
    graph = StateGraph(State)
    names = [f"step_{number}" for number in range(STEPS)]
    for number, name in enumerate(names):
        graph.add_node(name, partial(_node, number))
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph.compile(checkpointer=saver)


def _node(number: int, _state: State) -> State:
    return {"result": do_step(number)}
