"""Measures what 10,000 runs cost that wait for people: transactions, messages, workers' time, the sweeper's statements.

It declares the pipeline too: one call that a person has to approve.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
import uuid_utils

from agentflow import Pipeline, tool
from agentflow.engine import relay_recovery
from agentflow.engine.sweeper import DEAD_S, GAP_S, GRACE_S
from agentflow.store import sweeps
from agentflow.store.database import Transaction
from agentflow.store.workers import Judge
from bench.counters import SETTLE_S
from bench.figures import Broken, Figure
from bench.stack import Stack
from bench.usage import Meter
from bench.waiting import rest, until

RUNS = 10_000

_LONG_S = 20.0
_MOST = 500
_LOOKS = 20
# The goals: what noise there is between two looks at the same stack at rest.
_TRANSACTIONS_MORE, _CPU_MORE_PERCENT, _APPROVED_S = 1.0, 1.0, 2.0
# Of each sweep's statements; what looks at every open run is asked at each fifteenth alone.
_SWEEP_MORE_MS, _FORGOTTEN_MORE_MS = 1.0, 20.0

_COUNTERS = "select xact_commit + xact_rollback as n from pg_stat_database where datname = current_database()"
_COPY_RUNS = """
insert into agentflow.agent_runs (run_id, tenant, agent, agent_version, queue, status, current_step, input_payload,
    input_hash, budget, fallback, on_failure, version, waiting_reason, started_at, time_left_s, spent_attempts)
select c.id, r.tenant, r.agent, r.agent_version, r.queue, r.status, r.current_step, r.input_payload, r.input_hash,
    r.budget, r.fallback, r.on_failure, r.version, r.waiting_reason, r.started_at, r.time_left_s, r.spent_attempts
from agentflow.agent_runs r, copies c where r.run_id = %(run_id)s
"""
_COPY_STEPS = """
insert into agentflow.agent_steps (run_id, step_index, tenant, tool_name, tool_input, status, idempotency_key,
    args_hash, agent_version, task_name, queue, effect, timeout_s, next_attempt_at, waiting_reason, bulkhead, person)
select c.id, s.step_index, s.tenant, s.tool_name, s.tool_input, s.status, c.id || ':0', s.args_hash, s.agent_version,
    s.task_name, s.queue, s.effect, s.timeout_s, s.next_attempt_at, s.waiting_reason, s.bulkhead, s.person
from agentflow.agent_steps s, copies c where s.run_id = %(run_id)s
"""
_COPY_APPROVALS = """
insert into agentflow.approvals (approval_id, tenant, run_id, step_index, kind, tool, args_hash, asked, expires_at)
select gen_random_uuid(), a.tenant, c.id, a.step_index, a.kind, a.tool, a.args_hash, a.asked, a.expires_at
from agentflow.approvals a, copies c where a.run_id = %(run_id)s
"""


@tool(effect="idempotent", approval=True)
def wait_for_a_person(order_id: str) -> str:
    """Do what a person has approved."""
    return order_id


waiting = Pipeline("waiting", [wait_for_a_person])


def measure(folder: Path) -> Iterator[Figure]:
    """Yield the figures of a stack at rest without the runs, then with them, then of one approval among them."""
    with Stack(folder, {"AGENTFLOW_AGENTS": "bench.people"}) as stack:
        run_id = _waiting_run(stack)
        rest(SETTLE_S)
        before, sweep_before = _rest(stack), _sweep_ms(stack)
        _copy(stack, run_id)
        rest(SETTLE_S)
        after, sweep_after = _rest(stack), _sweep_ms(stack)
        yield Figure("transactions at rest, nobody waiting", before["transactions"], "/s")
        yield Figure(
            f"transactions, {RUNS:,} waiting", after["transactions"], "/s", before["transactions"] + _TRANSACTIONS_MORE
        )
        yield Figure("CPU at rest, of one core", before["cpu"], "%")
        yield Figure(f"CPU, {RUNS:,} waiting", after["cpu"], "%", before["cpu"] + _CPU_MORE_PERCENT)
        yield Figure("messages in queues", float(_messages(stack)), "", 1)
        yield Figure("steps held by workers", float(_held(stack)), "", 1)
        for name, value in sweep_after.items():
            goal = sweep_before[name] + (_FORGOTTEN_MORE_MS if name == "forgotten runs" else _SWEEP_MORE_MS)
            yield Figure(f"sweeper: {name} (nobody waiting: {sweep_before[name]:.2f})", value, "ms", goal)
        yield from _approve_one(stack, run_id)


def _waiting_run(stack: Stack) -> str:
    run_id = stack.client.submit("waiting", {"order_id": "4421"}).run_id
    until(lambda: stack.client.get(run_id).status == "waiting_human", "run that waits for a person")
    return run_id


def _copy(stack: Stack, run_id: str) -> None:
    """Make the other runs of the one that has come to wait by itself."""

    def body(tx: Transaction) -> None:
        tx.allow(120)
        # Ids as submissions have them: the tables are partitioned by the time in them.
        ids = [str(uuid_utils.uuid7()) for _ in range(RUNS - 1)]
        make = "create temporary table copies on commit drop as select unnest(%(ids)s::uuid[]) as id"
        tx.connection.exec_driver_sql(make, {"ids": ids})
        for copy in (_COPY_RUNS, _COPY_STEPS, _COPY_APPROVALS):
            tx.connection.exec_driver_sql(copy, {"run_id": run_id})

    stack.client.database.atomically(body, patience_s=120)
    # What a minute's autovacuum would do otherwise, in the middle of what is measured.
    tidy = "vacuum analyze agentflow.agent_runs, agentflow.agent_steps, agentflow.approvals"
    stack.client.database.glance(lambda tx: tx.connection.exec_driver_sql(tidy).rowcount)
    found = _count(stack, "select count(*) as n from agentflow.agent_runs where status = 'waiting_human'")
    if found != RUNS:
        raise Broken(f"{found:,} runs wait for a person, not {RUNS:,}")


def _rest(stack: Stack) -> Mapping[str, float]:
    meter, transactions = Meter(stack.processes), _count(stack, _COUNTERS)
    rest(_LONG_S)
    # Of these, one is the look at the counter itself.
    per_second = (_count(stack, _COUNTERS) - transactions - 1) / _LONG_S
    return {"transactions": per_second, "cpu": sum(meter.by_name().values()) / _LONG_S * 100}


def _sweep_ms(stack: Stack) -> dict[str, float]:
    """Return the median time of what every sweep asks, and of the statements that it may lead to."""
    judge = Judge(str(_sql(stack, "select worker_id from agentflow.workers limit 1")[0]["worker_id"]), DEAD_S, GAP_S)
    grace = {"grace_s": GRACE_S, "outbox_grace_s": relay_recovery.GRACE_S}
    statements: dict[str, Callable[[Transaction], Any]] = {
        "look": lambda tx: sweeps.look_around(tx, judge, turn_s=5.0, within_s=sweeps.EVER_S, **grace),
        "lost steps": lambda tx: sweeps.lost_steps(tx, judge, most=_MOST),
        "overdue runs": lambda tx: sweeps.stop_overdue(tx, most=_MOST),
        "forgotten runs": lambda tx: sweeps.revive_forgotten(tx, most=_MOST),
        "lost hints": lambda tx: sweeps.hintable(tx, grace_s=GRACE_S, most=_MOST),
    }
    found = {name: _median_ms(stack, statement) for name, statement in statements.items()}
    # Postgres counts a connection's transactions when it ends, at the latest: before the stack's are counted.
    stack.client.database.close()
    return found


def _median_ms(stack: Stack, statement: Callable[[Transaction], Any]) -> float:
    took = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        stack.client.database.atomically(statement)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def _approve_one(stack: Stack, run_id: str) -> Iterator[Figure]:
    approvals = stack.client.approvals
    began = time.perf_counter()
    [row] = approvals.list(run_id=run_id)
    yield Figure("finding one run's approval", (time.perf_counter() - began) * 1000, "ms")
    began = time.perf_counter()
    approvals.approve(str(row["approval_id"]), by="bench")
    ended = stack.client.wait(run_id, timeout_s=30)
    if ended.status != "done":
        raise Broken(f"the approved run is {ended.status}")
    yield Figure("from an approval to the end of its run", time.perf_counter() - began, "s", _APPROVED_S)


def _messages(stack: Stack) -> int:
    with redis.Redis.from_url(stack.redis_url) as link:
        lists = [key for key in link.scan_iter() if link.type(key) == b"list"]
        return sum(link.llen(key) for key in lists)


def _held(stack: Stack) -> int:
    return _count(stack, "select count(*) as n from agentflow.agent_steps where status = 'running'")


def _count(stack: Stack, query: str) -> int:
    return int(_sql(stack, query)[0]["n"])


def _sql(stack: Stack, statement: str) -> Sequence[Mapping[str, Any]]:
    with stack.client.database.transaction() as tx:
        result = tx.connection.exec_driver_sql(statement)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []
