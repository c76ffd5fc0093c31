"""Shows that the load comes to its expected end on a healthy stack of real workers, and that people end doubts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pytest
from pydantic import SecretStr

from agentflow import Client
from agentflow.settings import Settings
from bench.stack import Stack
from tests.chaos import agents
from tests.chaos.load import Load, Submission
from tests.chaos.operator import Operator
from tests.integration.workers.waiting import until
from tests.world.process import World

# A round has 21 or 22 runs.
ROUND = 22


@dataclass(frozen=True, slots=True)
class Shop:
    """All that runs: workers, a client, the outside world, and people."""

    client: Client
    world: World
    people: Operator

    def submit(self, submissions: Sequence[Submission]) -> dict[str, Submission]:
        """Submit, and return what was submitted by run."""
        return {each.submit(self.client): each for each in submissions}

    def open_runs(self, runs: dict[str, Submission]) -> list[str]:
        """Return the runs that have not ended, without those that the people leave in doubt."""
        left = {subject.split("/")[0] for subject in self.people.left}
        return [run_id for run_id in runs if run_id not in left and not self.client.get(run_id).is_final]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop."""
    folder = tmp_path_factory.mktemp("shop")
    with World(folder / "world", mail_password=agents.MAIL_PASSWORD) as world:
        environment = {
            "AGENTFLOW_AGENTS": "tests.chaos.agents",
            "AGENTFLOW_LLM_BASE_URL": world.model_base_url,
            **agents.environment(world),
        }
        with Stack(folder, environment) as stack, _client(stack) as client:
            agents.prepare(stack.database_url)
            people = Operator(client, world.folder, seed=1)
            people.start()
            try:
                yield Shop(client, world, people)
            finally:
                people.stop()


def _client(stack: Stack) -> Client:
    urls = {"database_url": SecretStr(stack.database_url), "redis_url": SecretStr(stack.redis_url)}
    return Client(Settings(webhook_private="127.0.0.1", **urls))  # type: ignore[arg-type]


@pytest.mark.slow
def test_without_faults_everything_comes_to_its_expected_end(shop: Shop) -> None:
    runs = shop.submit(list(islice(Load(1, f"{shop.world.url}/hooks"), ROUND)))
    until(lambda: not shop.open_runs(runs), "the end of the runs", timeout_s=120)
    ended = {run_id: shop.client.get(run_id) for run_id in runs}
    objections = [
        (run_id, objection)
        for run_id, run in ended.items()
        for objection in runs[run_id].objections(run.status, run.outcome, run.compensation)
    ]
    assert objections == []
    until(lambda: {row["status"] for row in shop.client.outbox()} == {"sent"}, "the end of the messages", timeout_s=60)


@pytest.mark.slow
def test_people_end_doubts_by_what_the_world_says(shop: Shop) -> None:
    shop.world.misbehave({"unsafe": {"cut_before": 0.5, "cut_after": 0.5}})
    runs = shop.submit([Submission("announcing", "announcing", {"item": f"doubt-{n}"}, f"doubt-{n}") for n in range(6)])
    doubts = set(runs)
    until(lambda: doubts <= {run.run_id for run in shop.client.list(status="waiting_human")}, "the doubts")
    shop.world.heal()
    until(lambda: not shop.open_runs(runs), "the end of the doubts", timeout_s=60)
    first_steps = [shop.client.steps(run_id)[0] for run_id in runs]
    happened = [each.key for each in shop.world.arrivals() if each.effect and each.door == "unsafe"]
    resolved = [step for step in first_steps if step.status == "ok"]
    assert {happened.count(step.idempotency_key) for step in resolved} == {1}
    assert not [step for step in first_steps if step.status == "error" and step.idempotency_key in happened]


def test_a_seed_decides_about_the_load() -> None:
    first, again, other = (list(islice(Load(seed), 100)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_round_has_every_kind_and_every_agent() -> None:
    assert {each.agent for each in islice(Load(1), ROUND)} == {
        "buying", "charging", "lighting", "announcing", "booking", "shipping", "wiring", "undone", "kept", "asked",
        "fickle", "clerk", "desk", "quitter", "thrifty", "fan",
    }  # fmt: skip
