"""Two releases side by side: runs of either are done, each effect once, and what a worker lacks goes on elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from agentflow.client.handle import RunHandle
from tests.integration.workers.agents.first_release import COLLECTED
from tests.integration.workers.nodes import WorkerNode
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.traffic import Traffic
from tests.integration.workers.waiting import until

OLD, NEW = ("first_release", "shop"), ("second_release", "shop", "helpdesk")
WORKERS = (WorkerPlan("default", OLD), WorkerPlan("models", OLD))
INPUTS = {"courier": lambda number: {"parcel": f"parcel-{number}"}, "desk": lambda number: f"order goods-{number}"}


@dataclass(slots=True)
class Fleet:
    """The workers of the old release, and those of the new one while there are any."""

    stack: Stack
    old: list[WorkerNode]
    new: list[WorkerNode] = field(default_factory=list)

    def bring_old(self) -> None:
        """Have workers of the old release beside the new ones."""
        self.old = self.old or self._started(OLD)

    def bring_new(self) -> None:
        """Have workers of the new release beside the old ones."""
        self.new = self.new or self._started(NEW)

    def end(self, workers: list[WorkerNode]) -> None:
        """Tell workers to end, one after the other, and see that they do in good order."""
        while workers:
            worker = workers.pop()
            worker.kill("SIGTERM", reload_container=False)
            assert worker.container.wait() == 0
            self.stack.nodes.remove(worker)

    def _started(self, release: tuple[str, ...]) -> list[WorkerNode]:
        came = [self.stack.add_worker(WorkerPlan(plan.pool, release)) for plan in WORKERS]
        assert all(worker.ready() for worker in came)
        return came


@pytest.fixture(scope="module")
def fleet(running_stack: Stack) -> Fleet:
    return Fleet(running_stack, list(running_stack.nodes))


@dataclass(frozen=True, slots=True)
class Stranded:
    """What waits after a rollback: runs of an agent, and a message of a kind, that the old release lacks."""

    handles: list[RunHandle]
    flown: RunHandle


@pytest.fixture(scope="module")
def stranded(fleet: Fleet) -> Stranded:
    """Workers of the new release took the old ones' place, and were taken back in the middle of their runs."""
    stack = fleet.stack
    fleet.bring_new()
    fleet.end(fleet.old)
    stack.client.tools.pause("outbox.pigeon", reason="a rollback", by="ann")
    flown = stack.client.submit("pigeons", {"to": "Bremen"})
    assert flown.wait(30).status == "done"
    fleet.bring_old()
    handles = stack.submit("helpdesk", (f"order help-{number}" for number in range(12)))
    until(lambda: {"unknown_agent", "unserved"} <= told(stack, handles), "alerts of runs and of model steps")
    fleet.end(fleet.new)
    stack.client.tools.resume("outbox.pigeon")
    return Stranded(handles, flown)


def test_runs_go_on_with_whichever_release_takes_them_and_each_effect_is_done_once(fleet: Fleet) -> None:
    stack = fleet.stack
    stack.world.close(COLLECTED)
    begun = stack.submit("courier", ({"parcel": f"early-{number}"} for number in range(6)))
    until(lambda: reached(stack, "collect", begun) == Counter(ids(begun)), "six runs in the middle")

    with Traffic(stack, INPUTS, period_s=0.4) as traffic:
        fleet.bring_new()
        stack.world.open(COLLECTED)
        until(lambda: works(stack, fleet.old[0]) and works(stack, fleet.new[0]), "deliveries by both releases")
        fleet.end(fleet.old)
    late = [stack.client.submit("courier", {"parcel": "late"}), stack.client.submit("desk", "order late")]
    handles = [*begun, *traffic.handles, *late]

    assert stack.await_final(handles) == {"done": len(handles)}
    couriers = [handle for handle in handles if handle.get().agent == "courier"]
    assert_each_once(stack, couriers, ("collect", "deliver"))
    for tool in ("weigh", "thank", "price", "charge"):
        assert set(reached(stack, tool, handles).values()) == {1}, f"calls of {tool!r}"
    assert [len(stack.world.arrivals(tool, late[0].run_id)) for tool in ("weigh", "thank")] == [1, 1]
    assert attempts_of(stack, handles) == {("ok", 1)}
    noted = versions(stack, handles)
    assert {agent: len(found) for agent, found in noted.items()} == {"courier": 2, "desk": 2}
    assert all(handle.get().agent_version in noted[handle.get().agent] for handle in handles)
    print(f"{len(handles)} runs: steps lost 0, attempts lost 0")


def test_what_a_release_brought_waits_out_its_rollback_and_holds_up_nobody(fleet: Fleet, stranded: Stranded) -> None:
    stack = fleet.stack
    stack.world.open(COLLECTED)

    run = stack.client.submit("courier", {"parcel": "rolled back"}).wait(30)

    assert run.result == "delivered rolled back"
    assert "failed" not in stack.truth.endings(stranded.handles)
    assert {row["waiting_reason"] for row in stack.truth.unfinished(stranded.handles)} <= {"unserved", None}
    assert messages(stack, stranded.flown) == ["pending"]


def test_what_a_release_brought_goes_on_where_it_is_known_again(fleet: Fleet, stranded: Stranded) -> None:
    stack, handles = fleet.stack, stranded.handles
    fleet.bring_new()
    fleet.end(fleet.old)

    assert stack.await_final(handles) == {"done": len(handles)}
    assert_each_once(stack, handles, ("price", "charge"))
    assert attempts_of(stack, handles) == {("ok", 1)}, "to be turned away costs no attempt"
    until(lambda: messages(stack, stranded.flown), "the message", holds=["sent"].__eq__)
    assert len(stack.world.arrivals("pigeon")) == 1


def assert_each_once(stack: Stack, handles: Sequence[RunHandle], tools: Sequence[str]) -> None:
    for tool in tools:
        assert reached(stack, tool, handles) == Counter(ids(handles)), f"calls of {tool!r}"


def reached(stack: Stack, tool: str, handles: Sequence[RunHandle]) -> Counter[str]:
    """Return how often a tool was called by each of these runs, as the world has it."""
    wanted = set(ids(handles))
    return Counter(each["run"] for each in stack.world.arrivals(tool) if each["run"] in wanted)


def attempts_of(stack: Stack, handles: Sequence[RunHandle]) -> set[tuple[str, int]]:
    query = "select distinct status, attempt from agentflow.attempts where run_id = any(cast(:ids as uuid[]))"
    return {(row["status"], row["attempt"]) for row in stack.truth.rows(query, ids=ids(handles))}


def versions(stack: Stack, handles: Sequence[RunHandle]) -> dict[str, set[str]]:
    """Return the versions whose decisions made these runs' steps, by agent."""
    query = """
        select distinct r.agent, s.agent_version from agentflow.agent_steps s join agentflow.agent_runs r using (run_id)
        where run_id = any(cast(:ids as uuid[]))
    """
    found: dict[str, set[str]] = {}
    for row in stack.truth.rows(query, ids=ids(handles)):
        found.setdefault(row["agent"], set()).add(row["agent_version"])
    return found


def told(stack: Stack, handles: Sequence[RunHandle]) -> set[str]:
    """Return of what kinds the alerts are that tell of these runs."""
    wanted = set(ids(handles))
    return {each["cause"].partition(":")[0] for each in stack.client.alerts() if each["run_id"] in wanted}


def messages(stack: Stack, handle: RunHandle) -> list[str]:
    return [row["status"] for row in stack.client.outbox(handle.run_id)]


def works(stack: Stack, worker: WorkerNode) -> bool:
    return any(each["worker"] == worker.container.pid for each in stack.world.arrivals("deliver"))


def ids(handles: Sequence[RunHandle]) -> list[str]:
    return [handle.run_id for handle in handles]
