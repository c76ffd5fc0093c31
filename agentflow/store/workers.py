"""The register of workers and of the agents they serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentflow.domain import payload
from agentflow.store.database import Row, Transaction

# The sweeper's turn by its name.
SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Judge:
    """A worker as the judge of others: they are dead when their heartbeat is `dead_s` old.

    Its own must have been unbroken for as long, and be no older than `gap_s`.
    """

    worker_id: str
    dead_s: float
    gap_s: float


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker hears when it beats: whether it has claimed anything, and whose turn it is to sweep.

    `turn_ends_in_s` is None where nobody ever had it.
    """

    has_claims: bool
    has_turn: bool
    turn_ends_in_s: float | None


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A worker that stopped beating, and when it did: one that comes back may die again."""

    worker_id: str
    heartbeat_at: datetime


def register(
    tx: Transaction,
    *,
    worker_id: str,
    hostname: str,
    pid: int,
    pool: str,
    queues: Sequence[str],
    agents: Mapping[str, str],
) -> None:
    """Write a worker's boot into the register; `agents` are versions by name."""
    tx.write(
        "register_worker",
        worker_id=worker_id,
        hostname=hostname,
        pid=pid,
        pool=pool,
        queues=sorted(queues),
        agents=payload.dumps(dict(agents)),
    )


def register_agent(tx: Transaction, agent: Mapping[str, Any]) -> None:
    """Write what a worker serves.

    Name, version, kind, queue, queues, input_schema, budget, fallback, on_failure, tools, model.
    """
    stored = {name: payload.dumps(agent[name]) for name in ("input_schema", "budget", "tools", "model")}
    tx.write("register_agent", **{**agent, "queues": sorted(agent["queues"]), **stored})


def beat(tx: Transaction, worker_id: str, *, gap_s: float, draining: bool) -> Beat | None:
    """Say that a worker is alive; None where the register has lost it."""
    row = tx.row("beat", worker_id=worker_id, gap_s=gap_s, draining=draining, turn=SWEEP)
    if row is None:
        return None
    has_claims = bool(row["has_steps"] or row["has_messages"])
    return Beat(has_claims, bool(row["has_turn"]), row["turn_ends_in_s"])


def stop(tx: Transaction, worker_id: str) -> None:
    """Say that a worker ended by itself."""
    tx.write("stop_worker", worker_id=worker_id)


def forget(tx: Transaction, age_s: float) -> int:
    """Delete the registrations of workers that ended long ago; return how many."""
    return tx.run("forget_workers", age_s=age_s)


def served_queues(tx: Transaction, dead_s: float) -> frozenset[str]:
    """Return the queues that live workers serve."""
    return frozenset(row["queue"] for row in tx.rows("served_queues", dead_s=dead_s))


def alive(tx: Transaction, dead_s: float) -> Sequence[Row]:
    """Return the live workers' rows."""
    return tx.rows("live_workers", dead_s=dead_s)


def dead(tx: Transaction, judge: Judge) -> Sequence[DeadWorker]:
    """Return the workers that died within the last hour, as a worker sees it."""
    rows = tx.rows("dead_workers", judge=judge.worker_id, dead_s=judge.dead_s, gap_s=judge.gap_s)
    return [DeadWorker(str(row["worker_id"]), row["heartbeat_at"]) for row in rows]


def bulkheads_of(tx: Transaction, *, worker_id: str) -> Sequence[str]:
    """Return the names of the bulkheads that a worker may have entered, by what it registered."""
    return [row["bulkhead"] for row in tx.rows("bulkheads_of_worker", worker_id=worker_id)]


def claims_of(tx: Transaction, *, worker_id: str) -> frozenset[tuple[str, int]]:
    """Return what a worker has claimed: a step by its run and index, a message by its id and item."""
    return frozenset((row["run_id"], row["step_index"]) for row in tx.rows("claims_of_worker", worker_id=worker_id))
