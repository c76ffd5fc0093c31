"""Owns who takes part, with which settings, and what tells how many runs of each are done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.peers.servers import Watch
from bench.peers.work import STEPS

Done = Callable[[Watch], int]


@dataclass(frozen=True, slots=True)
class Peer:
    """One who does the common work. `module` runs in `environment`, or in the project's own where there is none."""

    name: str
    module: str
    setting: str
    done: Done
    package: str
    environment: str | None = None
    workers: tuple[str, ...] = ("first", "second")
    told: Mapping[str, str] = field(default_factory=dict)


def _rows(query: str) -> Done:
    return lambda watch: watch.count(f"select count(*) from {query}")


def _all_results(watch: Watch) -> int:
    """Each step leaves one key; in a chain the last result may be stored before the one before it."""
    return watch.keys() // STEPS


def _all_submitted(_watch: Watch) -> int:
    """Its client waits itself: what it has submitted is done."""
    return sys.maxsize


_RUNS = _rows("agentflow.agent_runs where status = 'done'")
_POOLS = ("default", "models", "quarantine")

PEERS = {
    peer.name: peer
    for peer in (
        Peer("agentflow", "agentflow_itself", "default settings", _RUNS, "agentflow", workers=_POOLS),
        Peer(
            "agentflow-broker",
            "agentflow_itself",
            "every step through the broker",
            _RUNS,
            "agentflow",
            workers=_POOLS,
            told={"AGENTFLOW_CONTINUE_STEPS": "1"},
        ),
        Peer(
            "celery", "celery_chain", "a chain, results in Valkey, 4 children; nothing durable", _all_results,
            "celery", "celery", ("only",),
        ),
        Peer(
            "celery-orm", "celery_orm", "a task for each step, ORM, a commit for each change, 4 children",
            _rows("runs where status = 'done'"), "celery", "celery", ("only",),
        ),
        Peer(
            "absurd", "absurd", "2 processes of 8 threads, polling at 0.02 s",
            _rows("absurd.t_bench where state = 'completed'"), "absurd-sdk", "absurd",
        ),
        Peer(
            "dbos", "dbos", "2 processes of 8 workflows, polling at 0.1 s",
            _rows("dbos.workflow_status where status = 'SUCCESS'"), "dbos", "dbos",
        ),
        Peer(
            "pgqueuer", "pgqueuer", "2 processes, batches of 10, results written by hand",
            _rows(f"results where step = {STEPS - 1}"), "pgqueuer", "pgqueuer",
        ),
        Peer(
            "langgraph", "langgraph", "2 processes of 8 threads, durability sync; no queue",
            _rows(f"checkpoints where (metadata ->> 'step')::integer = {STEPS}"), "langgraph", "langgraph", (),
        ),
        Peer(
            "restate", "restate", "its own server with RocksDB, 2 processes, 64 calls at a time; nothing in Postgres",
            _all_submitted, "restate-sdk", "restate", ("server", "handler"),
        ),
    )
}  # fmt: skip
