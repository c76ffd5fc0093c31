"""One pool serves several tools: what one of them does, hang or fail, costs the others nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import not_
from statistics import median

import pytest

from agentflow.client.handle import RunHandle
from agentflow.domain.failure import ErrorKind
from agentflow.gate.redis_gate import RedisGate
from agentflow.store.database import Row
from tests.integration.faulty import Answer, FaultyServer, Hang
from tests.integration.workers.agents.bulkheads import HUNG_S, STUCK_S
from tests.integration.workers.nodes import lives
from tests.integration.workers.servers import Servers
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

WORKERS = (WorkerPlan("shared", ("bulkheads",)), WorkerPlan("models", ("bulkheads",)))
# Of the pool's four processes; the pools file says nothing, so one is left to the others.
MOST_OF_ONE_TOOL = 3
MEASURED = 15
# A machine with other work is slow for all alike; what a bulkhead keeps away is waiting for somebody else's timeout.
NOISE = 4
KILL_AFTER_S = 2.0
SLOW_S = 6.0
CLOCKS_S = 0.1
STUCK = {"is deaf to signals": "defy", "is stuck in C": "sink"}


@dataclass(frozen=True, slots=True)
class Mischief:
    """What another tool does in the meantime, and how many runs show that it really does."""

    agent: str
    runs: int
    evidence: str
    shown_by: int


MISCHIEF = {
    "hangs": Mischief("hanging", 16, "s.status = 'running'", MOST_OF_ONE_TOOL),
    "fails": Mischief("failing", 24, "s.error ->> 'status' = '503'", 20),
    "has no connection left": Mischief("leaking", 24, "s.error ->> 'message' like 'PoolTimeout%'", 5),
    "has no retry left": Mischief("spending", 24, "s.waiting_reason = 'retry_budget'", 5),
}


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[FaultyServer]:
    """Where the tools call; the module's workers are told its address."""
    with FaultyServer() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTSIDE_SERVER", running.url)
        yield running


@pytest.fixture(scope="module")
def gate(servers: Servers) -> RedisGate:
    """The workers' gate."""
    return RedisGate(servers.redis_url, prefix="agentflow:gate:agentflow", timeout_s=5.0)


@pytest.fixture
def faults(server: FaultyServer, stack: Stack) -> Iterator[None]:
    """Let calls hang and fail while the test lasts; afterwards they are answered, so that nothing of it is left."""
    server.script("/hang", Hang())
    server.script("/fail", Answer(503))
    server.script("/spend", Answer(503))
    yield
    for path in ("/hang", "/fail", "/spend"):
        server.script(path, Answer())
    until(lambda: not _open_calls(stack), "the end of every call", timeout_s=10)


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("does", MISCHIEF)
def test_the_latency_of_a_tool_does_not_move_while_another_in_its_pool(stack: Stack, does: str) -> None:
    mischief = MISCHIEF[does]
    alone_s = median(_latencies_s(stack))

    handles = stack.submit(mischief.agent, [{}] * mischief.runs)
    until(lambda: _shown(stack, mischief) >= mischief.shown_by, f"a tool that {does}", timeout_s=10)
    beside_s = median(_latencies_s(stack))

    print(f"alone {alone_s * 1e3:.0f} ms, beside one that {does} {beside_s * 1e3:.0f} ms ({beside_s / alone_s:.2f})")
    # Between two hung calls a slot is free for a moment: what has to last is the mischief, not each of its calls.
    until(lambda: _shown(stack, mischief) >= mischief.shown_by, f"a tool that still {does}", timeout_s=10)
    assert stack.truth.unfinished(handles)
    assert beside_s < NOISE * alone_s
    assert beside_s < HUNG_S / 2


@pytest.mark.usefixtures("faults")
def test_a_tool_that_hangs_never_has_the_whole_pool(stack: Stack, server: FaultyServer) -> None:
    before = len(server.arrivals("/hang"))
    handles = stack.submit("hanging", [{}] * 8)
    server.wait_for("/hang", before + 8, timeout_s=20)

    assert stack.await_final(handles) == {"failed": 8}

    calls = [_call_of(stack, handle) for handle in handles]
    at_once = max(sum(start <= at < end for start, end in calls) for at, _ in calls)
    assert at_once == MOST_OF_ONE_TOOL


@pytest.mark.usefixtures("faults")
def test_a_hung_tool_costs_its_timeout_and_one_slot_and_its_process_lives_on(stack: Stack) -> None:
    before = _children(stack)
    handle = stack.client.submit("hanging", {})
    pid = stack.world.await_arrival("hang", handle.run_id)["pid"]

    run = handle.wait(20)

    started_at, ended_at = _call_of(stack, handle)
    (step,) = stack.steps(handle)
    print(f"a timeout of {HUNG_S:g} s took {ended_at - started_at:.2f} s")
    assert (run.status, step.error["kind"]) == ("failed", ErrorKind.TIMEOUT)
    assert HUNG_S <= ended_at - started_at < HUNG_S + KILL_AFTER_S
    assert _children(stack) == before
    served_by = until(lambda: _pids_serving(stack), "another step in that process", holds=lambda pids: pid in pids)
    assert served_by <= before


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("tool", STUCK)
def test_a_process_is_replaced_and_its_step_timed_out_where_the_tool(stack: Stack, gate: RedisGate, tool: str) -> None:
    before = _children(stack)
    handle = stack.client.submit(STUCK[tool], {})
    pid = stack.world.await_arrival(STUCK[tool], handle.run_id)["pid"]

    until(lambda: not lives(pid), "the end of its process", timeout_s=STUCK_S + KILL_AFTER_S + SLOW_S)
    run = handle.wait(20)

    (step,) = stack.steps(handle)
    first, second = step.tries
    took_s = (first["ended_at"] - first["started_at"]).total_seconds()
    print(f"a timeout of {STUCK_S:g} s was answered after {took_s:.2f} s")
    assert (run.status, first["status"], first["error"]["kind"]) == ("done", "retried", ErrorKind.TIMEOUT)
    assert second["status"] == "ok"
    assert STUCK_S + KILL_AFTER_S <= took_s + CLOCKS_S < STUCK_S + KILL_AFTER_S + SLOW_S
    assert _deaths(stack, handle) == {"quarantined": False, "deaths": 0}
    until(lambda: len(_children(stack)), "four processes again", holds=lambda count: count == len(before))
    assert before - _children(stack) == {pid}
    slots = {STUCK[tool]: STUCK[tool]}
    until(lambda: gate.states(slots)[0].in_use, "every slot given back", holds=not_)


def _latencies_s(stack: Stack) -> list[float]:
    """Return the seconds from submission to the end of runs that are made one after the other, by one clock."""
    runs = [stack.client.submit("serving", {}).wait(30) for _ in range(MEASURED)]
    assert {run.status for run in runs} == {"done"}
    return [(run.finished_at - run.created_at).total_seconds() for run in runs if run.finished_at]


def _shown(stack: Stack, mischief: Mischief) -> int:
    """Return how many of its steps show what is the matter, now or in the attempt before."""
    query = "select from agentflow.agent_steps s join agentflow.agent_runs r using (run_id) where r.agent = :agent and "
    return len(stack.truth.rows(query + mischief.evidence, agent=mischief.agent))


def _open_calls(stack: Stack) -> object:
    return stack.truth.rows("select from agentflow.agent_steps where status = 'running'")


def _call_of(stack: Stack, handle: RunHandle) -> tuple[float, float]:
    ((attempt,),) = (step.tries for step in stack.steps(handle))
    return attempt["started_at"].timestamp(), attempt["ended_at"].timestamp()


def _children(stack: Stack) -> set[int]:
    return {pid for pid in stack.worker("shared").children() if lives(pid)}


def _pids_serving(stack: Stack) -> set[int]:
    handles = stack.submit("serving", [{}] * 4)
    assert stack.await_final(handles) == {"done": 4}
    return {each["pid"] for handle in handles for each in stack.world.arrivals("serve", handle.run_id)}


def _deaths(stack: Stack, handle: RunHandle) -> Row:
    (row,) = stack.truth.rows(
        "select quarantined, deaths from agentflow.agent_steps where run_id = :id", id=handle.run_id
    )
    return row
