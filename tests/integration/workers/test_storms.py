"""Many runs at once against a server in trouble: they wait without cost, and come back no faster than they may."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from operator import not_
from statistics import median

import pytest
import redis

from agentflow.client.handle import RunHandle
from agentflow.gate.protocol import BulkheadState
from agentflow.gate.redis_gate import RedisGate
from tests.integration.faulty import Answer, Arrival, FaultyServer, Hang
from tests.integration.storm_answers import Crowd, Storm
from tests.integration.workers.agents.storms import SLOTS, STORMY
from tests.integration.workers.servers import Servers
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

PLAN = WorkerPlan("default", ("storms",))
WORKERS = (PLAN, WorkerPlan("models", ("storms",)))
PROCESSES = 6
QUEUES = ("coordinator", "model", "tool.fetch", "tool.peek")
GATE = "agentflow:gate:agentflow"
PATIENCE_S = 3.0
CALL_S = 0.1
# The machine has other work; that a tool's limit is used, and not a fraction of it, shows all the same.
NOISE = 4
AT_ONCE_S = 2.0
ATTEMPTS = 20
PROMISED_OVER_S = 1.0
PROMISED_RECOVERY_S = 15.0


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[FaultyServer]:
    """Where the tools call; the module's workers are told its address."""
    with FaultyServer() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTSIDE_SERVER", running.url)
        yield running


@pytest.fixture(scope="module")
def gate(servers: Servers) -> RedisGate:
    """The workers' gate."""
    return RedisGate(servers.redis_url, prefix=GATE, timeout_s=5.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("many", "open_s"), [(200, 9.0), pytest.param(1_000, 40.0, marks=pytest.mark.long)], ids=["200", "1000"]
)
def test_runs_behind_an_open_breaker_cost_nothing_and_then_drain_at_the_limit(
    stack: Stack, server: FaultyServer, gate: RedisGate, many: int, open_s: float
) -> None:
    crowd = Crowd(most=SLOTS, takes_s=CALL_S)
    server.script("/fetch", crowd)
    before, openings = len(server.arrivals("/fetch")), _generation(stack)
    gate.hold_open("fetch", open_s, "a test")
    closes_at = time.monotonic() + open_s

    handles = stack.submit("fetching", [{}] * many)
    until(lambda: _parked(stack, handles), "parked runs", timeout_s=open_s, holds=lambda parked: parked == many)
    assert_they_cost_nothing(stack, gate)
    assert time.monotonic() < closes_at, "the breaker was open all the time"
    assert stack.await_final(handles, timeout_s=open_s + NOISE * many * CALL_S / SLOTS) == {"done": many}

    drained_s = time.monotonic() - closes_at
    print(f"{many} runs drained in {drained_s:.1f} s: {many / drained_s:.0f}/s of {SLOTS / CALL_S:.0f}/s at most")
    assert crowd.highest <= SLOTS
    assert len(server.arrivals("/fetch")) - before == many, "nothing was tried twice"
    assert _generation(stack) == openings + 2, "it was opened once and closed once"


@pytest.mark.slow
def test_in_a_storm_of_429_no_call_comes_before_its_time_and_hardly_one_too_many(
    stack: Stack, server: FaultyServer
) -> None:
    many, storm = 200, Storm(lasts_s=PATIENCE_S)
    server.script("/tally", storm)

    handles = stack.submit("tallying", [{}] * many)
    assert stack.await_final(handles) == {"done": many}

    calls = server.arrivals("/tally")
    told_at = min(at for _, at in storm.told)
    in_flight = [call for call in calls if call.at < told_at]
    print(f"{len(calls)} calls for {many} runs, {len(in_flight)} of them in flight when the storm began")
    assert 1 <= len(in_flight) <= PROCESSES
    assert [call for call in calls[len(in_flight) :] if call.at < _told(storm, call, told_at)] == []
    assert len(calls) <= 1.10 * many + len(in_flight)


def test_a_run_in_a_retry_storm_over_six_tools_ends_at_its_attempts_and_says_so(
    stack: Stack, server: FaultyServer
) -> None:
    before = _weather(server, {name: Answer(503) for name in STORMY})

    handle = stack.client.submit("braving", {}, budget={"attempts": ATTEMPTS})
    run = handle.wait(60)

    calls = sum(len(server.arrivals(f"/{name}")) for name in STORMY) - before
    assert (run.status, run.error["kind"]) == ("failed", "budget_attempts")
    assert run.attempts == calls == ATTEMPTS
    (alert,) = (each for each in stack.client.alerts() if each["cause"] == f"budget_attempts:{run.run_id}")
    assert f"budget of {ATTEMPTS} attempts is used up" in alert["message"]
    assert {step.status for step in stack.steps(handle)} <= {"error", "skipped"}


def test_runs_in_a_retry_storm_over_six_tools_end_within_a_second_of_their_deadline(
    stack: Stack, server: FaultyServer
) -> None:
    patient = Answer(429, {"Retry-After": "1"})
    _weather(server, {**{name: Answer(503) for name in STORMY}, "fog": Hang(), "wind": patient})

    handles = [stack.client.submit("braving", {}, budget={"time_s": 4}) for _ in range(3)]
    runs = [handle.wait(60) for handle in handles]

    assert {(run.status, run.error["kind"]) for run in runs} == {("failed", "deadline")}
    over_s = [
        (run.finished_at - run.deadline_at).total_seconds() for run in runs if run.finished_at and run.deadline_at
    ]
    print(f"ended {max(over_s) * 1e3:.0f} ms after the deadline at the latest")
    assert all(0 <= each <= PROMISED_OVER_S for each in over_s)
    assert {f"deadline:{run.run_id}" for run in runs} <= {each["cause"] for each in stack.client.alerts()}


@pytest.mark.slow
def test_slots_of_a_killed_worker_are_given_to_others_long_before_their_time_is_over(
    stack: Stack, gate: RedisGate
) -> None:
    other = stack.add_worker(PLAN)
    other.ready()
    handles = stack.submit("gripping", [{}] * 2 * SLOTS)
    until(lambda: len(stack.world.arrivals("grip")) == SLOTS, "every slot taken")
    held = [each["worker"] for each in stack.world.arrivals("grip")]
    victim = next(node for node in stack.nodes if node.container.pid == max(held, key=held.count))
    lost = held.count(victim.container.pid)

    victim.kill()
    killed_at = time.monotonic()
    until(lambda: len(stack.world.arrivals("grip")) == SLOTS + lost, "others in the slots of the dead", timeout_s=30)

    print(f"{lost} slots of a killed worker went to others after {time.monotonic() - killed_at:.1f} s")
    assert time.monotonic() - killed_at <= PROMISED_RECOVERY_S
    assert _state(gate, "grip").in_use == SLOTS
    stack.world.open("grip")
    assert stack.await_final(handles) == {"done": 2 * SLOTS}
    until(lambda: _state(gate, "grip").in_use, "every slot given back", holds=not_)
    stack.nodes.remove(other)
    other.container.teardown()


def assert_they_cost_nothing(stack: Stack, gate: RedisGate) -> None:
    """No message, no slot, no process, no attempt, until the breaker closes; and others are served at once."""
    with redis.Redis.from_url(stack.servers.redis_url) as broker:
        # While the queues were long, the sweeper has hinted some again: those are seen and dropped.
        until(lambda: [broker.llen(queue) for queue in QUEUES], "empty queues", holds=lambda lengths: not any(lengths))
        until(lambda: broker.hlen("unacked"), "no message at a worker", holds=not_)
        assert_others_are_served(stack)
        sent = _sent(broker)
        until(
            lambda: _state(gate, "fetch").open_for_s,
            "the last second behind the breaker",
            timeout_s=60,
            holds=lambda left_s: left_s < 1,
        )
        assert _sent(broker) == sent
    assert (_state(gate, "fetch").breaker, _state(gate, "fetch").in_use) == ("open", 0)
    busy = "select from agentflow.agent_steps where status = 'running' or (tool_name = 'fetch' and attempt > 0)"
    assert stack.truth.rows(f"{busy} and finished_at is null") == []


def assert_others_are_served(stack: Stack) -> None:
    runs = [stack.client.submit("peeking", {}).wait(10) for _ in range(3)]
    took_s = median((run.finished_at - run.created_at).total_seconds() for run in runs if run.finished_at)
    print(f"another tool answered after {took_s * 1e3:.0f} ms")
    assert took_s < AT_ONCE_S


def _sent(broker: redis.Redis) -> int:
    """Return how many messages were ever put into a queue."""
    return int(broker.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))


def _parked(stack: Stack, handles: Sequence[RunHandle]) -> int:
    query = (
        "select from agentflow.agent_runs where run_id = any(cast(:ids as uuid[])) and status = 'waiting_tool' "
        "and waiting_reason = 'breaker_open'"
    )
    return len(stack.truth.rows(query, ids=[handle.run_id for handle in handles]))


def _generation(stack: Stack) -> int:
    """Return how often the breaker has opened or closed."""
    with redis.Redis.from_url(stack.servers.redis_url) as connection:
        return int(connection.hget(f"{GATE}:breaker:{{fetch}}", "generation") or 0)


def _state(gate: RedisGate, bulkhead: str) -> BulkheadState:
    (state,) = gate.states({bulkhead: bulkhead})
    return state


def _told(storm: Storm, call: Arrival, first: float) -> float:
    """Return the time that the run of a call was told, the first that anybody was told where it was told none."""
    return max([first, *(at for body, at in storm.told if body == call.body and at - PATIENCE_S < call.at)])


def _weather(server: FaultyServer, answers: dict[str, Answer | Hang]) -> int:
    """Set what the six tools meet, and return how many calls they have made before."""
    for name, answer in answers.items():
        server.script(f"/{name}", answer)
    return sum(len(server.arrivals(f"/{name}")) for name in answers)
