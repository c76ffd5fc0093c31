"""Measures 100,000 runs that wait: what they cost at rest and under load, and how fast those wake that become due.

They wait for a person, for an hour that is far away, for their start, and behind a tool that an operator has paused.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Broken, Figure
from bench.loads.copying import Copier, keep
from bench.loads.hinting import hint_all, parked_run
from bench.loads.queries import Queries, querying
from bench.loads.resting import count_statements, measure_rest
from bench.loads.sweeping import sweeping
from bench.loads.turns import compare
from bench.stack import Stack
from bench.waiting import until

PARKED, WOKEN, LOAD, TURNS = 100_000, 2_000, 200, 3
REST_S = 30.0

_SETTLE_S = 12.0
_CPU_GOAL_PERCENT, _QUERIES_GOAL, _WAKING_GOAL = 3.0, 10.0, 2_000.0
# As much as two looks at the same stack differ.
_CPU_MORE_PERCENT, _QUERIES_MORE, _THROUGHPUT = 1.0, 1.0, 0.9
_PATIENCE_S = 600.0
_TOLD = {"AGENTFLOW_AGENTS": "bench.loads.agents"}
_WAITING = "select count(*) from agent_steps where run_id = any(%(ids)s::uuid[]) and status = 'pending' and attempt = 0"
_PARKED = "select count(*) from agent_runs where finished_at is null"
_TIDY = "vacuum analyze"
_CHOOSE = """
create table bench_woken as select run_id from agent_steps
where status = 'pending' and waiting_reason like 'retry%%' limit %(woken)s
"""
_WAKE = """
update agent_steps set next_attempt_at = clock_timestamp() - interval '1 second', hinted_at = null, hints = 0
where run_id in (select run_id from bench_woken) and status = 'pending'
"""
_ASLEEP = """
select count(*) from agent_steps join bench_woken using (run_id) where status = 'pending' and hinted_at is null
"""
_UNDONE = "select count(*) from agent_runs join bench_woken using (run_id) where finished_at is null"


def measure(folder: Path) -> Iterator[Figure]:
    """Yield both stacks' figures side by side, then how fast runs wake among all the others."""
    plain_at, parked_at = folder / "plain", folder / "parked"
    for place in (plain_at, parked_at):
        place.mkdir()
        count_statements(place / "data")
    with (
        Stack(plain_at, _TOLD, whole=True) as plain,
        Stack(parked_at, _TOLD, whole=True) as parked,
        querying(parked.database_url) as queries,
    ):
        _park(parked, queries)
        yield from _compare_rest(plain, parked)
        inputs = [{"number": number} for number in range(LOAD)]
        compared = compare(plain, parked, "plain_line", inputs, turns=TURNS)
        yield from compared.figures("none parked", f"{PARKED:,} parked", throughput=_THROUGHPUT)
        yield from _wake(queries)
    with sweeping(parked_at / "data") as alone, querying(alone.database_url) as queries:
        queries.run("drop table bench_woken")
        queries.run(_CHOOSE, {"woken": WOKEN})
        yield from hint_all(alone, queries, _WAKE, "waking", goal=_WAKING_GOAL)


def _park(stack: Stack, queries: Queries) -> None:
    """Let one run of each kind come to wait by itself, and make the others of these."""
    stack.client.tools.pause("wait_for_an_operator", reason="the benchmark wants it to")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    handles = [stack.client.submit(agent, {"number": 1}) for agent in ("for_a_person", "for_an_operator")]
    ids = [handle.run_id for handle in handles]
    until(lambda: queries.value(_WAITING, {"ids": ids}) == len(ids), "runs that wait")
    not_yet = stack.client.submit("plain_line", {"number": 1}, not_before=later)
    keep(queries, [parked_run(stack, queries), not_yet.run_id, *ids])
    Copier(stack.database_url, PARKED - 4).copy()
    queries.run(_TIDY)
    if (found := int(queries.value(_PARKED))) != PARKED:
        raise Broken(f"{found:,} runs are parked, not {PARKED:,}")
    threading.Event().wait(_SETTLE_S)


def _compare_rest(plain: Stack, parked: Stack) -> Iterator[Figure]:
    found = measure_rest({"plain": plain, "parked": parked}, REST_S)
    none, many = found["plain"], found["parked"]
    yield Figure("at rest, none parked: CPU, of one core", none.cpu_percent, "%", _CPU_GOAL_PERCENT)
    yield Figure("  queries", none.queries, "/s", _QUERIES_GOAL)
    yield Figure("  transactions", none.transactions, "/s")
    yield Figure(f"at rest, {PARKED:,} parked: CPU", many.cpu_percent, "%", none.cpu_percent + _CPU_MORE_PERCENT)
    yield Figure("  queries", many.queries, "/s", none.queries + _QUERIES_MORE)
    yield Figure("  transactions", many.transactions, "/s")


def _wake(queries: Queries) -> Iterator[Figure]:
    """Make some runs due at once, and yield how the workers' own sweeper and the workers come along."""
    queries.run(_CHOOSE, {"woken": WOKEN})
    began = time.monotonic()
    if (due := queries.run(_WAKE)) != WOKEN:
        raise Broken(f"{due:,} runs are due, not {WOKEN:,}")
    until(lambda: not queries.value(_ASLEEP), "hints for all that are due", timeout_s=_PATIENCE_S)
    hinted_s = time.monotonic() - began
    until(lambda: not queries.value(_UNDONE), "end of all that were woken", timeout_s=_PATIENCE_S)
    yield Figure(f"{WOKEN:,} due at once in the stack: all hinted after", hinted_s, "s")
    yield Figure("  all done after", time.monotonic() - began, "s")
    yield Figure("  done", WOKEN / (time.monotonic() - began), "/s")
