"""What a sweep asks, beside how many runs that wait, and how much it moves at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from agentflow import Pipeline, tool
from agentflow.domain.waiting import GATED
from agentflow.engine.sweeper import DEAD_S, GAP_S, GRACE_S, Sweeper
from agentflow.store import sweeps, workers
from agentflow.testing import Harness
from agentflow.testing.hints import CollectedHints
from tests.integration.counted import Counted
from tests.integration.hands import Hands

MANY = 20_000
# Of the same moment, and so of the same partition.
_MAKE_IDS = """
create temporary table copies as
select (left(%(run_id)s, 15) || substr(gen_random_uuid()::text, 16))::uuid as run_id from generate_series(1, %(many)s)
"""
_COPY_RUNS = """
insert into agentflow.agent_runs (run_id, tenant, agent, agent_version, queue, status, input_payload, input_hash,
    budget, waiting_reason, started_at, deadline_at, finished_at, updated_at)
select c.run_id, r.tenant, r.agent, r.agent_version, r.queue, %(status)s, r.input_payload, r.input_hash, r.budget,
    'retry_transient', r.created_at, clock_timestamp() + interval '1 day',
    case when %(status)s = 'done' then clock_timestamp() end, clock_timestamp() - interval '1 hour'
from agentflow.agent_runs r, copies c where r.run_id = %(run_id)s
"""
_COPY_STEPS = """
insert into agentflow.agent_steps (run_id, step_index, tenant, tool_name, tool_input, status, attempt, idempotency_key,
    args_hash, agent_version, task_name, queue, effect, timeout_s, next_attempt_at, waiting_reason, bulkhead)
select c.run_id, s.step_index, s.tenant, s.tool_name, s.tool_input, %(status)s, 1, c.run_id || ':0', s.args_hash,
    s.agent_version, s.task_name, s.queue, s.effect, s.timeout_s, clock_timestamp() + %(due_in)s::interval, %(reason)s,
    s.bulkhead
from agentflow.agent_steps s, copies c where s.run_id = %(run_id)s and s.step_index = 0
"""
PARKED = {"due_in": "1 day", "reason": "retry_transient"}
DUE = {"due_in": "-1 second", "reason": "retry_transient"}
PAUSED = {"due_in": "-10 minutes", "reason": "tool_paused"}


@tool(effect="read")
def look() -> str:
    return "seen"


looking = Pipeline("looking", [look])


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, looking)


@pytest.fixture
def counted(hands: Hands) -> Iterator[Counted]:
    database = Counted(hands.harness.database)
    yield database
    database.close()


def copies(hands: Hands, many: int, *, due_in: str, reason: str) -> None:
    """Make runs by SQL, as many that are done and as many whose one step waits."""
    run_id = hands.begin(looking)
    hands.drop_hints()
    with hands.harness.database.transaction() as tx:
        for run, step in (("waiting_tool", "pending"), ("done", "ok")):
            tx.connection.exec_driver_sql("drop table if exists copies")
            tx.connection.exec_driver_sql(_MAKE_IDS, {"run_id": run_id, "many": many})
            tx.connection.exec_driver_sql(_COPY_RUNS, {"status": run, "run_id": run_id})
            values = {"status": step, "run_id": run_id, "due_in": due_in, "reason": reason}
            tx.connection.exec_driver_sql(_COPY_STEPS, values)
        tx.connection.exec_driver_sql("drop table copies")
    hands.sql("delete from agentflow.agent_steps where run_id = %(id)s", id=run_id)
    hands.sql("update agentflow.agent_runs set advance_due_at = null, advance_hinted_at = null")
    hands.sql("analyze agentflow.agent_runs, agentflow.agent_steps")


def sweeper(hands: Hands, database: Counted) -> tuple[Sweeper, CollectedHints]:
    hints = CollectedHints()
    return Sweeper(database, hints, hints, hands.runtime.worker.worker_id), hints


def is_hurried(one: Sweeper) -> bool:
    """True where the next sweep is to follow at once."""
    return one.next_at is not None and one.next_at <= time.monotonic()


def hinted(hints: CollectedHints) -> int:
    many = 0
    while hints.take():
        many += 1
    return many


@pytest.mark.parametrize("waiting", [PARKED, PAUSED], ids=["parked", "behind a paused tool"])
def test_no_question_of_a_sweep_reads_all_runs_or_all_steps(hands: Hands, waiting: dict[str, str]) -> None:
    copies(hands, MANY, **waiting)
    me = hands.runtime.worker.worker_id
    values = {
        "name": "sweep",
        "turn": "sweep",
        "holder": me,
        "judge": me,
        "worker_id": me,
        "draining": False,
        "hold_s": 5,
        "dead_s": DEAD_S,
        "gap_s": GAP_S,
        "grace_s": GRACE_S,
        "outbox_grace_s": 1,
        "within_s": 60,
        "most": 500,
        "gated": list(GATED),
        "bulkheads": ["look"],
        "rooms": [16],
        "run_ids": [me],
        "step_indexes": [0],
    }
    asked = (
        *("look_around", "beat", "steps_by_process", "lost_steps", "stop_overdue", "hintable_runs", "hintable_steps"),
        *("mark_runs_hinted", "mark_steps_hinted", "hint_next_in_line"),
    )
    statements = hands.harness.database.statements

    partitions = {
        hands.value(f"select tableoid::regclass::text from agentflow.{table} limit 1").rpartition(".")[2]
        for table in ("agent_runs", "agent_steps")
    }
    plans = {name: hands.sql(f"explain {statements[name]}", **values) for name in asked}

    for name, plan in plans.items():
        lines = "\n".join(str(line["QUERY PLAN"]) for line in plan)
        read_whole = set(re.findall(r"Seq Scan on (\w+)", lines)) & partitions
        assert not read_whole, f"{name}:\n{lines}"


@pytest.mark.parametrize("waiting", [PARKED, PAUSED], ids=["parked", "behind a paused tool"])
def test_a_sweep_beside_runs_that_wait_is_one_statement(
    hands: Hands, counted: Counted, waiting: dict[str, str]
) -> None:
    copies(hands, 100, **waiting)
    if waiting is PAUSED:
        hands.sql("insert into agentflow.holds (bulkhead, reason, held_by) values ('look', 'it rains', 'ann')")
    one, _ = sweeper(hands, counted)

    assert [one.sweep() for _ in range(3)] == [True] * 3

    assert counted.sent == {"look_around": 3}


def test_a_beat_is_one_statement(hands: Hands, counted: Counted) -> None:
    me = hands.runtime.worker.worker_id

    beat = counted.glance(lambda tx: workers.beat(tx, me, gap_s=GAP_S, draining=False))

    assert beat == workers.Beat(has_claims=False, has_turn=False, turn_ends_in_s=None)
    assert counted.sent == {"beat": 1}


def test_a_beat_tells_whose_turn_it_is_and_until_when(hands: Hands, counted: Counted) -> None:
    one, _ = sweeper(hands, counted)
    one.sweep()
    other = hands.harness.runtime(looking).worker.worker_id

    beats = [
        counted.glance(lambda tx, worker_id=each: workers.beat(tx, worker_id, gap_s=GAP_S, draining=False))  # type: ignore[misc]
        for each in (hands.runtime.worker.worker_id, other)
    ]

    assert [beat.has_turn for beat in beats] == [True, False]
    assert all(0 < beat.turn_ends_in_s <= 5 for beat in beats)


def test_a_beat_tells_whether_the_worker_has_claimed_anything(hands: Hands, counted: Counted) -> None:
    hands.claim(hands.begin(looking))
    me, other = hands.runtime.worker.worker_id, hands.harness.runtime(looking).worker.worker_id

    beats = [
        counted.glance(lambda tx, worker_id=each: workers.beat(tx, worker_id, gap_s=GAP_S, draining=False))  # type: ignore[misc]
        for each in (me, other)
    ]

    assert [beat.has_claims for beat in beats] == [True, False]


def test_more_than_fits_into_one_sweep_is_hinted_by_the_next_at_once(hands: Hands, counted: Counted) -> None:
    copies(hands, 1_200, **DUE)
    one, hints = sweeper(hands, counted)
    told, hurried = [], []

    for _ in range(4):
        one.sweep()
        told.append(hinted(hints))
        hurried.append(is_hurried(one))

    assert told == [500, 500, 200, 0]
    assert hurried == [True, True, False, False]
    assert (counted.sent["mark_steps_hinted"], counted.sent["hintable_steps"]) == (3, 3)


def test_a_broker_that_takes_no_hints_makes_no_sweeper_hurry(hands: Hands, counted: Counted) -> None:
    class Deaf(CollectedHints):
        def publish(self, _: object) -> bool:
            return False

    copies(hands, 600, **DUE)
    hints = Deaf()
    one = Sweeper(counted, hints, hints, hands.runtime.worker.worker_id)

    one.sweep()

    assert not is_hurried(one)


def test_a_step_that_somebody_is_at_is_not_waited_for(hands: Hands, counted: Counted) -> None:
    copies(hands, 3, **DUE)
    lock = "select run_id::text from agentflow.agent_steps where status = 'pending' limit 1 for update"
    one, hints = sweeper(hands, counted)
    with hands.harness.database.transaction() as tx:
        held = tx.connection.exec_driver_sql(lock).scalar_one()
        one.sweep()

    assert held not in {hints.take().run_id for _ in range(2)}  # type: ignore[union-attr]
    assert hints.take() is None
    one.sweep()
    assert hints.take().run_id == held  # type: ignore[union-attr]


def test_of_many_lost_steps_those_are_left_to_the_next_sweep_that_would_keep_a_worker_from_its_beat(
    hands: Hands, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        hands.claim(hands.begin(looking))
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
    one, _ = sweeper(hands, counted)
    running = "select count(*) from agentflow.agent_steps where status = 'running'"

    monkeypatch.setattr("agentflow.engine.sweeper._LONGEST_S", -1.0)
    one.sweep()
    assert hands.value(running) == 3
    assert is_hurried(one)
    monkeypatch.undo()
    one.sweep()

    assert hands.value(running) == 0
    assert not is_hurried(one)


def test_which_queues_are_served_is_asked_once_in_a_sweep(hands: Hands, counted: Counted) -> None:
    for _ in range(3):
        hands.claim(hands.begin(looking))
    hands.sql("update agentflow.workers set heartbeat_at = clock_timestamp() - interval '1 minute'")
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
    one, _ = sweeper(hands, counted)

    one.sweep()

    assert hands.value("select count(*) from agentflow.agent_steps where status = 'running'") == 0
    assert counted.sent["served_queues"] == 1


def test_steps_whose_time_came_long_ago_can_be_left_out(hands: Hands, counted: Counted) -> None:
    copies(hands, 2, **DUE)
    copies(hands, 3, due_in="-10 minutes", reason="retry_transient")

    lately, ever = (
        counted.atomically(lambda tx, s=within_s: sweeps.hintable(tx, grace_s=GRACE_S, most=10, within_s=s))  # type: ignore[misc]
        for within_s in (60.0, sweeps.EVER_S)
    )

    assert (len(lately), len(ever)) == (2, 5)
