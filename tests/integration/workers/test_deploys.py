"""Deploys of one release: every worker is restarted under load; one that can't finish in time gives its steps back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentflow.client.handle import RunHandle
from agentflow.llm.protocol import ModelRequest, ModelResponse
from agentflow.llm.scripted import ScriptedModel
from agentflow.llm.server import ModelServer
from tests.integration.workers.agents.deaths import FIRST_TRY, SETTLE_S
from tests.integration.workers.nodes import WorkerNode, lives
from tests.integration.workers.scripts import Scripts
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.traffic import Traffic
from tests.integration.workers.waiting import until

AGENTS = ("haulage", "shop", "deaths")
FLEET = WorkerPlan("default", AGENTS, concurrency=3)
MODELS = WorkerPlan("models", AGENTS)
WORKERS = (FLEET, MODELS)
BUSY = FLEET.concurrency or 0
RECORD_MARGIN_S = 10.0
PROMISED_S = 15.0
DRAIN_S = 0.3
INPUTS = {"hauls": lambda number: {"load": f"load-{number}"}, "broker": lambda number: f"order goods-{number}"}
CAUGHT = ("look", "pay", "book", "switch", "mail", "wire")


class Patient(Scripts):
    """The scripts, and a customer whose first answer takes as long as the test wants."""

    def __init__(self) -> None:
        self.held = 0
        self.free = threading.Event()

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer as the script says; the first answer to `hold` only once it may."""
        if not str(request.messages[-1]["content"]).startswith("hold"):
            return super().complete(request)
        self.held += 1
        if self.held == 1:
            self.free.wait(60)
        return ScriptedModel(("held no longer",)).complete(request)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return Patient()


@pytest.fixture(scope="module")
def model_server(folder: Path, patient: Patient) -> Iterator[ModelServer]:
    with ModelServer(patient, log=folder / "model.jsonl") as server:
        yield server
        patient.free.set()


def test_a_rolling_restart_of_every_worker_under_load_loses_no_step_and_no_attempt(stack: Stack) -> None:
    with Traffic(stack, INPUTS, period_s=0.4) as traffic:
        tools, models = stack.nodes
        caught = restart(stack, tools, FLEET, overlap=True)
        restart(stack, models, MODELS, overlap=False)

    assert_nothing_lost(stack, traffic, caught)


@pytest.mark.long
def test_two_workers_of_a_pool_and_those_of_others_restarted_in_a_row_lose_no_step_and_no_attempt(stack: Stack) -> None:
    stack.add_worker(FLEET).ready()
    tools, models, more = stack.nodes
    with Traffic(stack, INPUTS) as traffic:
        caught = restart(stack, tools, FLEET, overlap=True) + restart(stack, more, FLEET, overlap=False)
        restart(stack, models, MODELS, overlap=True)

    assert_nothing_lost(stack, traffic, caught)
    end(stack.nodes[0])
    del stack.nodes[0]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A worker that was told to end in the middle of one step of each class, and had no time for any."""

    stack: Stack
    at: float
    exit_code: int
    children: list[int]
    handles: dict[str, RunHandle]


@pytest.fixture(scope="module")
def leaving(running_stack: Stack) -> Iterator[Leaving]:
    stack = running_stack
    stack.revive()
    stack.world.close("packed")
    busy = stack.submit("parcels", ({"order": f"parcel-{number}"} for number in range(BUSY)))
    until(lambda: len(stack.world.arrivals("pack")) == BUSY, "a step in every process of the other worker")
    worker = start_hurried(stack, WorkerPlan("default", AGENTS, concurrency=8))
    handles = {name: stack.client.submit(name, {}) for name in CAUGHT}
    for name, handle in handles.items():
        stack.world.await_arrival(name, handle.run_id)
    children, at = worker.children(), time.time()
    exit_code = end(worker)
    stack.nodes.remove(worker)
    stack.world.open("packed")
    yield Leaving(stack, at, exit_code, children, handles)
    stack.world.open(FIRST_TRY)
    assert stack.await_final(busy) == {"done": BUSY}


def test_a_worker_that_cannot_finish_in_time_is_gone_with_its_processes_and_says_so(leaving: Leaving) -> None:
    assert leaving.exit_code == 0
    assert not any(map(lives, leaving.children))
    rows = leaving.stack.truth.rows("select from agentflow.workers where draining and stopped_at is not null")
    assert rows


@pytest.mark.parametrize(
    "name", ["look", "pay", "book", "switch"], ids=["read", "keyed", "transactional", "idempotent"]
)
def test_a_step_that_may_be_repeated_runs_elsewhere_as_soon_as_its_worker_has_left(leaving: Leaving, name: str) -> None:
    run = leaving.handles[name].wait(3 * PROMISED_S)

    assert run.finished_at is not None
    took_s = run.finished_at.timestamp() - leaving.at
    print(f"{name}: done {took_s:.1f} s after its worker was told to end")
    assert (run.status, run.result) == ("done", f"{name} in attempt 2")
    assert took_s < RECORD_MARGIN_S, "that long at least it would have taken without its worker's word"
    (step,) = leaving.stack.steps(leaving.handles[name])
    assert [each["status"] for each in step.tries] == ["lost", "ok"]


def test_a_keyed_step_that_was_given_back_goes_out_under_the_same_key(leaving: Leaving) -> None:
    run = leaving.handles["pay"].wait(3 * PROMISED_S)
    calls = leaving.stack.world.arrivals("pay", run.run_id)
    assert ([each["attempt"] for each in calls], len({each["key"] for each in calls})) == ([1, 2], 1)


@pytest.mark.slow
def test_an_unsafe_step_of_a_worker_that_left_is_in_doubt_once_its_lease_is_over(leaving: Leaving) -> None:
    leaving.stack.await_step(leaving.handles["mail"], "in_doubt", timeout_s=40)

    [[attempt]] = [step.tries for step in leaving.stack.steps(leaving.handles["mail"])]
    assert (attempt["ended_at"] - attempt["started_at"]).total_seconds() >= 4 + RECORD_MARGIN_S
    assert len(leaving.stack.world.arrivals("mail", leaving.handles["mail"].run_id)) == 1


@pytest.mark.slow
def test_a_verified_step_of_a_worker_that_left_is_verified_and_not_repeated(leaving: Leaving) -> None:
    run = leaving.handles["wire"].wait(60)

    wired, _ = leaving.stack.steps(leaving.handles["wire"])
    (asked,) = leaving.stack.world.arrivals("wire.asked", run.run_id)
    assert (run.status, run.result, wired.attempt) == ("done", "found in the world", 1)
    assert asked["at"] - wired.tries[0]["started_at"].timestamp() >= 4 + RECORD_MARGIN_S + SETTLE_S


@pytest.mark.long
def test_a_model_call_that_a_thread_cannot_finish_in_time_is_made_elsewhere(stack: Stack, patient: Patient) -> None:
    models = stack.worker("models")
    end(models)
    hurried = start_hurried(stack, MODELS)
    handle = stack.client.submit("broker", "hold the line")
    until(lambda: patient.held == 1, "a model call that is held")

    exit_code = end(hurried)
    stack.nodes.remove(hurried)
    stack.revive()

    run = handle.wait(3 * PROMISED_S)
    assert (exit_code, run.status, run.result, patient.held) == (0, "done", "held no longer", 2)
    assert [[each["status"] for each in step.tries] for step in stack.steps(handle)] == [["lost", "ok"]]


def assert_nothing_lost(stack: Stack, traffic: Traffic, caught: int) -> None:
    assert stack.await_final(traffic.handles) == {"done": len(traffic.handles)}
    assert tries(stack, traffic.handles).keys() == {("ok", 1)}, "an attempt that did not end well, or a second one"
    hauls, orders = ids(traffic.of("hauls")), ids(traffic.of("broker"))
    for tool, runs in {"carry": hauls, "bill": hauls, "unload": hauls, "price": orders, "charge": orders}.items():
        reached = Counter(each["run"] for each in stack.world.arrivals(tool) if each["run"] in runs)
        assert reached == Counter(runs), f"calls of {tool!r}"
    print(f"{len(traffic.handles)} runs, {caught} steps in the middle: steps lost 0, attempts lost 0")
    assert caught, "no worker was told to end in the middle of a step"


def start_hurried(stack: Stack, plan: WorkerPlan) -> WorkerNode:
    """Start a worker that has next to no time to finish what it is at when it is told to end."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AGENTFLOW_DRAIN_S", str(DRAIN_S))
        worker = stack.add_worker(plan)
    worker.ready()
    return worker


def restart(stack: Stack, worker: WorkerNode, plan: WorkerPlan, *, overlap: bool) -> int:
    """Put another worker in a worker's place, before its end or after; return how many steps it was at."""
    if overlap:
        stack.add_worker(plan).ready()
    at_work = until(lambda: running(stack, worker), "a step in the middle") if plan is FLEET else 0
    began = time.monotonic()
    assert end(worker) == 0
    print(f"{worker.hostname()} ended after {time.monotonic() - began:.1f} s, {at_work} steps in the middle")
    stack.nodes.remove(worker)
    if not overlap:
        stack.add_worker(plan).ready()
    return at_work


def end(worker: WorkerNode) -> int:
    """Tell a worker to end, and return its exit code."""
    worker.kill("SIGTERM", reload_container=False)
    return worker.container.wait()


def running(stack: Stack, worker: WorkerNode) -> int:
    """Return how many steps a worker is at that take their time."""
    query = """
        select from agentflow.agent_steps s join agentflow.workers w using (worker_id)
        where s.status = 'running' and s.tool_name in ('carry', 'unload') and w.pid = :pid and w.stopped_at is null
            and s.claimed_at > clock_timestamp() - interval '400 ms'
    """
    return len(stack.truth.rows(query, pid=worker.container.pid))


def tries(stack: Stack, handles: list[RunHandle]) -> Counter[tuple[str, int]]:
    """Return how many attempts of these runs ended how, by the number of the attempt."""
    query = "select status, attempt from agentflow.attempts where run_id = any(cast(:ids as uuid[]))"
    return Counter((row["status"], row["attempt"]) for row in stack.truth.rows(query, ids=ids(handles)))


def ids(handles: list[RunHandle]) -> list[str]:
    return [handle.run_id for handle in handles]
