"""Measures how runs come out of trouble: from behind an open breaker, out of a storm of 429, and up to a deadline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import redis
from sqlalchemy import TextClause, text

from agentflow import RunHandle
from agentflow.gate.redis_gate import RedisGate
from agentflow.settings import settings
from agentflow.store.reads import RunRecord
from bench.figures import Broken, Figure, spread
from bench.processes import ROOT
from bench.stack import Stack
from bench.waiting import until
from tests.integration.faulty import Answer, Arrival, FaultyServer
from tests.integration.storm_answers import Crowd, Storm
from tests.integration.workers.agents.storms import SLOTS, STORMY

_PARKED, _OPEN_S, _CALL_S = 500, 30.0, 0.1
_THROTTLED, _PATIENCE_S, _GOAL_PERCENT = 200, 3.0, 10.0
_STORMS, _TIME_S, _GOAL_OVER_S = 5, 4.0, 1.0
_LAST_S = 600.0
_WORKERS = ROOT / "tests" / "integration" / "workers"
_QUEUES = ("coordinator", "tool.fetch")
_FETCH = {"fetch": "fetch"}
_RUNNING = text("select count(*) from agentflow.agent_steps where status = 'running'")
_WAITING = text("select count(*) from agentflow.agent_runs where status = 'waiting_tool'")


def measure(folder: Path) -> Iterator[Figure]:
    """Yield drain rates beside the limit, calls over the minimum, and how long runs outlive their deadline."""
    with FaultyServer() as server:
        told = {
            "AGENTFLOW_AGENTS": "tests.integration.workers.agents.storms",
            "AGENTFLOW_POOLS": str(_WORKERS / "pools.toml"),
            "OUTSIDE_SERVER": server.url,
        }
        with Stack(folder, told) as stack:
            yield from _measure_drain(stack, server)
            yield from _measure_patience(stack, server)
            yield from _measure_deadline(stack, server)


def _measure_drain(stack: Stack, server: FaultyServer) -> Iterator[Figure]:
    crowd = Crowd(most=SLOTS, takes_s=_CALL_S)
    server.script("/fetch", crowd)
    prefix = f"agentflow:gate:{settings().db_schema}"
    gate = RedisGate(stack.redis_url, prefix=prefix, timeout_s=5.0)
    gate.hold_open("fetch", _OPEN_S, "bench")
    handles = _submit(stack, "fetching", _PARKED)
    until(lambda: _count(stack, _WAITING) == _PARKED, "parked runs", timeout_s=_OPEN_S)
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as broker:
        # What the sweeper hinted again while the queues were long is still to be seen and dropped.
        until(lambda: not any(broker.llen(queue) for queue in _QUEUES), "end of the messages", timeout_s=_OPEN_S)
        sent = _sent(broker)
        until(lambda: gate.states(_FETCH)[0].open_for_s < 1, "end of the hold")
        yield Figure(f"{_PARKED:,} runs parked: messages sent", _sent(broker) - sent, "", 1)
        yield Figure("  steps that run", _count(stack, _RUNNING), "", 1)
        yield Figure("  slots in use", gate.states(_FETCH)[0].in_use, "", 1)
        _finished(handles)
        changes = int(broker.hget(f"{prefix}:breaker:{{fetch}}", "generation") or 0)
    calls = server.arrivals("/fetch")
    yield Figure("drain, all but the probe", _per_second(calls[1:]), "/s")
    yield Figure(f"  the limit: {SLOTS} slots, calls of {_CALL_S:g} s", SLOTS / _CALL_S, "/s")
    yield Figure("  most calls at once", crowd.highest, "", SLOTS + 1)
    yield Figure("  calls over the minimum", len(calls) - _PARKED, "", 1)
    yield Figure("  openings by the herd", (changes - 2) / 2, "", 1)


def _measure_patience(stack: Stack, server: FaultyServer) -> Iterator[Figure]:
    storm = Storm(lasts_s=_PATIENCE_S)
    server.script("/tally", storm)
    _finished(_submit(stack, "tallying", _THROTTLED))
    calls = server.arrivals("/tally")
    told_at = min(at for _, at in storm.told)
    in_flight = sum(call.at < told_at for call in calls)
    over = len(calls) - _THROTTLED - in_flight
    yield Figure(f"429 storm, {_THROTTLED} runs: in flight at its start", in_flight, "")
    yield Figure("  calls over the minimum", over / _THROTTLED * 100, "%", _GOAL_PERCENT)
    yield Figure("  calls before their time", max(0, len(storm.told) - in_flight), "", 1)


def _measure_deadline(stack: Stack, server: FaultyServer) -> Iterator[Figure]:
    for name in STORMY:
        server.script(f"/{name}", Answer(503))
    over_s: list[float] = []
    for _ in range(_STORMS):
        run = stack.client.submit("braving", {}, budget={"time_s": _TIME_S}).wait(_LAST_S)
        if run.finished_at is None or run.deadline_at is None or run.stop_requested != "deadline":
            raise Broken(f"a run in a storm did not end by its deadline: {run.status} {run.error}")
        over_s.append((run.finished_at - run.deadline_at).total_seconds())
    yield from spread("six tools that fail: end after the deadline", over_s, "s", _GOAL_OVER_S)


def _submit(stack: Stack, agent: str, many: int) -> list[RunHandle]:
    return [stack.client.submit(agent, {}) for _ in range(many)]


def _finished(handles: Sequence[RunHandle]) -> list[RunRecord]:
    runs = [handle.wait(_LAST_S) for handle in handles]
    if failed := [run for run in runs if run.status != "done"]:
        raise Broken(f"{len(failed)} runs did not end done; the first: {failed[0].error}")
    return runs


def _count(stack: Stack, query: TextClause) -> int:
    with stack.client.database.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def _sent(broker: redis.Redis) -> int:
    return int(broker.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))


def _per_second(calls: Sequence[Arrival]) -> float:
    return (len(calls) - 1) / (calls[-1].at - calls[0].at)
