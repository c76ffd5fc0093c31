"""A worker's watch: when it asks, who has the turn after a holder is gone, and that it beats while it works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest

from agentflow import Pipeline, tool
from agentflow.domain.hint import Hint
from agentflow.engine.registration import Registration
from agentflow.engine.sweeper import Sweeper
from agentflow.engine.watch import Watch
from agentflow.testing import Harness
from agentflow.testing.hints import CollectedHints
from tests.integration.counted import Counted
from tests.integration.gate_visits import wait_until
from tests.integration.hands import Hands

FAR_S = 60.0


@tool(effect="read")
def look() -> str:
    return "seen"


looking = Pipeline("looking", [look])
Make = Callable[..., tuple[Watch, Counted]]


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, looking)


@pytest.fixture
def make(hands: Hands) -> Iterator[Make]:
    """Makes watches of workers of their own, none of which is left behind."""
    made: list[tuple[Watch, Counted]] = []

    def make(hints: CollectedHints | None = None) -> tuple[Watch, Counted]:
        runtime, database = hands.harness.runtime(looking), Counted(hands.harness.database)
        told = hints or CollectedHints()
        worker_id = runtime.worker.worker_id
        registration = Registration(worker_id, "default", frozenset({"tool.look"}), runtime.registry)
        watch = Watch(database, registration, Sweeper(database, told, told, worker_id), list)
        made.append((watch, database))
        return made[-1]

    yield make
    for watch, database in made:
        watch.stop()
        database.close()


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets how often watches beat and sweep."""

    def pace(*, beat_s: float, tick_s: float, turn_s: float = 5.0) -> None:
        monkeypatch.setattr("agentflow.engine.watch.BEAT_S", beat_s)
        monkeypatch.setattr("agentflow.engine.watch.TICK_S", tick_s)
        monkeypatch.setattr("agentflow.engine.sweeper._TURN_S", turn_s)

    return pace


def holder(hands: Hands) -> str | None:
    found = hands.sql("select holder::text from agentflow.turns where held_until > clock_timestamp()")
    return str(found[0]["holder"]) if found else None


def worker_of(watch: Watch) -> str:
    return watch._registration.worker_id


def test_who_does_not_have_the_turn_hears_of_it_with_its_beats_alone(
    hands: Hands, make: Make, pace: Callable[..., None]
) -> None:
    pace(beat_s=0.2, tick_s=0.05, turn_s=FAR_S)
    (first, _), (second, asked) = make(), make()
    first.start()
    wait_until(lambda: holder(hands) == worker_of(first))

    second.start()
    wait_until(lambda: asked.sent["beat"] >= 8)

    assert asked.sent["look_around"] <= 1
    assert holder(hands) == worker_of(first)


def test_a_holder_that_is_gone_is_replaced_when_its_lease_ends_though_no_beat_is_near(
    hands: Hands, make: Make, pace: Callable[..., None]
) -> None:
    pace(beat_s=FAR_S, tick_s=0.05, turn_s=1.0)
    hands.sql(
        "insert into agentflow.turns (name, holder, held_until) values ('sweep', gen_random_uuid(), %(t)s)",
        t=soon(hands),
    )
    watch, asked = make()

    watch.start()

    wait_until(lambda: holder(hands) == worker_of(watch))
    assert asked.sent["beat"] == 1


def soon(hands: Hands) -> datetime:
    moment: datetime = hands.value("select clock_timestamp() + interval '1 second'")
    return moment


def test_a_parked_step_is_hinted_at_its_moment_and_not_at_the_next_tick(
    hands: Hands, make: Make, pace: Callable[..., None]
) -> None:
    pace(beat_s=FAR_S, tick_s=FAR_S)
    run_id = hands.begin(looking)
    hands.sql(
        "update agentflow.agent_steps set waiting_reason = 'retry_transient', hinted_at = null, "
        "next_attempt_at = clock_timestamp() + interval '0.9 seconds'"
    )
    hints = CollectedHints()
    watch, asked = make(hints)

    watch.start()

    wait_until(lambda: hands.step_row(run_id)["hinted_at"] is not None)
    row = hands.step_row(run_id)
    assert row["hinted_at"] >= row["next_attempt_at"]
    assert asked.sent["look_around"] <= 3


class Watched(CollectedHints):
    """Hints that note the latest beat whenever some are published."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands
        self.beats: set[Any] = set()

    def publish(self, hints: Sequence[Hint]) -> bool:
        self.beats.add(self._hands.value("select max(heartbeat_at) from agentflow.workers"))
        return super().publish(hints)


def test_a_worker_beats_while_it_works_a_backlog_off(
    hands: Hands, make: Make, pace: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pace(beat_s=0.05, tick_s=FAR_S)
    monkeypatch.setattr("agentflow.engine.sweeper._MOST", 1)
    for _ in range(30):
        hands.begin(looking)
    hands.sql("update agentflow.agent_steps set hinted_at = null")
    hands.drop_hints()
    hints = Watched(hands)
    watch, _ = make(hints)

    watch.start()

    wait_until(lambda: hands.value("select count(*) from agentflow.agent_steps where hinted_at is null") == 0)
    assert len(hints.beats) > 3


def test_an_errand_is_run_at_once(hands: Hands, make: Make, pace: Callable[..., None]) -> None:
    pace(beat_s=FAR_S, tick_s=FAR_S)
    watch, asked = make()
    watch.start()
    wait_until(lambda: asked.sent["look_around"] == 1)
    run = threading.Event()

    watch.later(lambda _: run.set())

    assert run.wait(10)


def test_a_worker_that_the_register_has_lost_registers_again(
    hands: Hands, make: Make, pace: Callable[..., None]
) -> None:
    pace(beat_s=0.05, tick_s=FAR_S)
    watch, _ = make()
    watch.start()
    wait_until(lambda: holder(hands) == worker_of(watch))
    hands.sql("delete from agentflow.workers")

    wait_until(lambda: hands.value("select count(*) from agentflow.workers") == 1)
