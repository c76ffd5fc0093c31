"""A migration under load: expand beneath workers of the release before, contract once none is left; nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentflow.client.handle import RunHandle
from agentflow.domain.errors import SchemaOutdated
from agentflow.llm.server import ModelServer
from agentflow.store import schema
from agentflow.testing.databases import Databases
from tests.integration.workers.nodes import WorkerNode
from tests.integration.workers.releases import make_release, released
from tests.integration.workers.servers import Servers
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.traffic import Traffic
from tests.integration.workers.waiting import until

SHELVES, RACKS = ("released", "shelves", "shop"), ("released", "racks", "shop")
INPUTS = {"storing": lambda number: {"order": f"order-{number}"}}
TOOLS = ("price", "charge", "place")


@dataclass(frozen=True, slots=True)
class Releases:
    """The migrations' folders of three releases."""

    first: Path
    second: Path
    third: Path


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    revisions = ("shelf", "rack", "no_shelf")
    folders = [make_release(tmp_path_factory.mktemp("release"), revisions[: count + 1]) for count in range(3)]
    return Releases(*folders)


@pytest.fixture(scope="module")
def running_stack(
    servers: Servers, databases: Databases, folder: Path, model_server: ModelServer, releases: Releases
) -> Iterator[Stack]:
    """The stack of the first release."""
    name = f"workers_{folder.name}"
    servers.flush_redis()
    stack = Stack(servers, databases.create(name), folder, model_server.base_url)
    try:
        migrate(stack, releases.first)
        start(stack, releases.first, SHELVES)
        yield stack
    finally:
        stack.close()
        databases.drop(name)


def test_the_schema_is_expanded_beneath_workers_of_the_release_before_and_the_new_ones_join_them(
    running_stack: Stack, releases: Releases
) -> None:
    stack, old = running_stack, list(running_stack.nodes)
    assert "the schema is at 'shelf', behind 'rack': run `agentflow db upgrade`" in refusal(
        stack, releases.second, RACKS
    )
    with going_on(stack) as handles:
        assert migrate(stack, releases.second) == "rack"
        assert stack.truth.rows("select from agentflow.agent_steps where rack is null") == []
        end(stack, old[:1])
        [again] = start(stack, releases.first, SHELVES, pools=("default",))
        [new] = start(stack, releases.second, RACKS, pools=("default",))
        until(lambda: placed_by(stack, again) and placed_by(stack, new), "steps by workers of both releases")

    assert_each_once(stack, handles)
    assert {handle.get().result for handle in handles} == {"the first", "rack of the first"}


def test_the_schema_is_contracted_beneath_workers_of_the_release_before_once_no_older_one_is_left(
    running_stack: Stack, releases: Releases
) -> None:
    stack, older = running_stack, list(running_stack.nodes)
    migrate(stack, releases.second)
    start(stack, releases.second, RACKS)
    end(stack, older)
    with going_on(stack) as handles:
        assert migrate(stack, releases.third) == "no_shelf"
        done = stack.truth.endings(handles).get("done", 0)
        until(lambda: stack.truth.endings(handles).get("done", 0) > done + 9, "runs on the contracted schema")

    assert_each_once(stack, handles)
    with released(releases.first), pytest.raises(SchemaOutdated, match="install a newer agentflow"):
        schema.check(stack.truth.url, "agentflow")


def migrate(stack: Stack, migrations: Path) -> str:
    """Bring the schema to a release's revision, as `agentflow db upgrade` of that release does."""
    with released(migrations):
        return schema.upgrade(stack.truth.url, "agentflow")


def start(
    stack: Stack, migrations: Path, agents: tuple[str, ...], *, pools: Sequence[str] = ("default", "models")
) -> list[WorkerNode]:
    """Start workers of a release."""
    with released(migrations):
        came = [stack.add_worker(WorkerPlan(pool, agents)) for pool in pools]
    assert all(worker.ready() for worker in came)
    return came


def refusal(stack: Stack, migrations: Path, agents: tuple[str, ...]) -> str:
    """Start a worker of a release that must not start, and return what it says."""
    with released(migrations):
        worker = stack.add_worker(WorkerPlan("default", agents))
    stack.nodes.remove(worker)
    assert worker.container.wait() == 1
    return worker.container.logs()


@contextmanager
def going_on(stack: Stack) -> Iterator[list[RunHandle]]:
    """Submit runs all the while; at the end every one of them is done, and no attempt at it was lost."""
    with Traffic(stack, INPUTS, period_s=0.3) as traffic:
        until(lambda: stack.truth.endings(traffic.handles), "the first end of a run")
        yield traffic.handles
    assert stack.await_final(traffic.handles) == {"done": len(traffic.handles)}


def assert_each_once(stack: Stack, handles: Sequence[RunHandle]) -> None:
    ids = Counter(handle.run_id for handle in handles)
    for tool in TOOLS:
        reached = Counter(each["run"] for each in stack.world.arrivals(tool) if each["run"] in ids)
        assert reached == ids, f"calls of {tool!r}"
    assert [stack.truth.entries(handle) for handle in handles] == [1] * len(handles)
    query = "select distinct status, attempt from agentflow.attempts where run_id = any(cast(:ids as uuid[]))"
    rows = stack.truth.rows(query, ids=list(ids))
    assert [(row["status"], row["attempt"]) for row in rows] == [("ok", 1)]
    print(f"{len(handles)} runs: steps lost 0, attempts lost 0")


def placed_by(stack: Stack, worker: WorkerNode) -> bool:
    return any(each["worker"] == worker.container.pid for each in stack.world.arrivals("place"))


def end(stack: Stack, workers: Sequence[WorkerNode]) -> None:
    """Tell workers to end, and see that they do in good order."""
    for worker in workers:
        worker.kill("SIGTERM", reload_container=False)
    for worker in workers:
        assert worker.container.wait() == 0
        stack.nodes.remove(worker)
