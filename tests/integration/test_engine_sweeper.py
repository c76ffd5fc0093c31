from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from agentflow import Agent, Budget, Context, Pipeline, tool
from agentflow.domain.claim import Claim
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import Failed, Retrying
from agentflow.engine.recovery import QUARANTINE_QUEUE
from agentflow.engine.sweeper import DEAD_S, Sweeper
from agentflow.store import workers
from agentflow.testing import Harness, call, calls, scripted
from agentflow.testing.hints import CollectedHints
from tests.integration.hands import Hands


@tool(effect="read")
def look(n: int = 1) -> str:
    return f"saw {n}"


@tool(effect="keyed")
def pay(ctx: Context) -> str:
    return ctx.idempotency_key


@tool(effect="unsafe")
def ship() -> str:
    return "sent"


looking = Pipeline("looking", [look])
paying = Pipeline("paying", [pay])
shipping = Pipeline("shipping", [ship])
clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[look])
AGENTS = (looking, paying, shipping, clerk)
LONG_AGO = "clock_timestamp() - interval '1 hour'"


class Unreachable:
    """Queues behind a broker that does not answer."""

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        raise OSError(queue)


class Queues:
    """Queues with a given oldest hint in each."""

    def __init__(self, oldest: tuple[str, int | None] | None = None) -> None:
        self._oldest = oldest

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        return self._oldest


class Foreign(Queues):
    """Queues of which one holds something at its end that is no hint."""

    def __init__(self, foreign: str) -> None:
        super().__init__()
        self._foreign = foreign

    def oldest(self, queue: str) -> tuple[str, int | None] | None:
        if queue == self._foreign:
            raise LookupError(queue)
        return super().oldest(queue)


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, *AGENTS)


def sweeper(hands: Hands, queues: Any = None, judge: str | None = None) -> tuple[Sweeper, CollectedHints]:
    hints = CollectedHints()
    worker_id = judge or hands.runtime.worker.worker_id
    return Sweeper(hands.harness.database, hints, queues or Queues(), worker_id), hints


def swept(hands: Hands, queues: Any = None, judge: str | None = None) -> Sequence[Hint]:
    """The hints of one sweep, taken whoever's turn it is."""
    hands.sql("delete from agentflow.turns")
    one, hints = sweeper(hands, queues, judge)
    assert one.sweep()
    return taken(hints)


def taken(hints: CollectedHints) -> list[Hint]:
    found = []
    while hint := hints.take():
        found.append(hint)
    return found


def age(hands: Hands) -> None:
    """Let an hour pass for every hint."""
    hands.sql(f"update agentflow.agent_runs set advance_hinted_at = {LONG_AGO} where advance_hinted_at is not null")
    hands.sql(f"update agentflow.agent_steps set hinted_at = {LONG_AGO} where hinted_at is not null")


def test_runs_whose_every_hint_is_lost_go_on_by_the_sweeper_alone(hands: Hands) -> None:
    hands.harness.hints.lossy = True
    hands.runtime.model_overrides = {"clerk": scripted(calls(call("look", n=1), call("look", n=2)), "done")}
    run_id = hands.submit(clerk, "go")

    for _ in range(5):
        age(hands)
        for hint in swept(hands):
            hands.harness.obey(hands.runtime, hint)

    assert hands.harness.client.get(run_id).status == "done"
    assert [step.attempt for step in hands.harness.client.steps(run_id)] == [1, 1, 1, 1]


def test_a_lost_hint_of_a_run_is_found(hands: Hands) -> None:
    run_id = hands.submit(looking)
    age(hands)

    assert swept(hands) == [Hint("coordinator.advance", "tool.look", run_id, None)]


def test_a_lost_hint_of_a_step_is_found(hands: Hands) -> None:
    run_id = hands.begin(looking)
    age(hands)

    assert swept(hands) == [Hint("step.look", "tool.look", run_id, 0)]


def test_what_was_hinted_a_moment_ago_is_left_alone(hands: Hands) -> None:
    hands.submit(looking)
    hands.begin(looking)

    assert swept(hands) == []


def test_a_hint_that_was_never_published_is_found_at_once(hands: Hands) -> None:
    run_id = hands.submit(looking)
    hands.sql("update agentflow.agent_runs set advance_hinted_at = null")

    assert [hint.run_id for hint in swept(hands)] == [run_id]


def test_the_wait_between_hints_grows_with_each(hands: Hands) -> None:
    hands.begin(looking)
    hinted = []
    for _ in range(4):
        hands.sql("update agentflow.agent_steps set hinted_at = clock_timestamp() - interval '7 seconds'")
        hinted.append(len(swept(hands)))

    assert hinted == [1, 1, 0, 0]


def test_a_hint_behind_an_older_one_in_its_queue_is_not_lost(hands: Hands) -> None:
    first, second = hands.begin(looking), hands.begin(looking)
    age(hands)
    hands.sql(
        "update agentflow.agent_steps set hinted_at = clock_timestamp() - interval '2 hours' where run_id = %(id)s",
        id=first,
    )

    assert swept(hands, Queues((first, 0))) == []
    assert [hint.run_id for hint in swept(hands, Queues((second, 0)))] == [first]


def test_a_queue_whose_oldest_hint_nobody_knows_says_nothing(hands: Hands) -> None:
    hands.begin(looking)
    age(hands)

    assert swept(hands, Queues((str(uuid.uuid4()), 3))) == []


def test_a_queue_that_holds_what_is_no_hint_stops_no_other(hands: Hands) -> None:
    foreign, other = hands.begin(looking), hands.begin(shipping)
    age(hands)

    hinted = [hint.run_id for hint in swept(hands, Foreign("tool.look"))]

    assert hinted == [other]
    assert foreign not in hinted


def test_a_broker_out_of_reach_costs_no_hint_its_turn(hands: Hands) -> None:
    run_id = hands.begin(looking)
    age(hands)

    assert swept(hands, Unreachable()) == []
    assert [hint.run_id for hint in swept(hands)] == [run_id]


def test_a_parked_step_is_hinted_once_it_is_due(hands: Hands) -> None:
    run_id = hands.begin(looking)
    park = "update agentflow.agent_steps set hinted_at = null, next_attempt_at = clock_timestamp() + interval %(s)s"

    hands.sql(park, s="1 hour")
    assert swept(hands) == []
    hands.sql(park, s="0 seconds")
    assert [hint.run_id for hint in swept(hands)] == [run_id]


def test_a_run_that_is_not_to_begin_yet_is_left_alone(hands: Hands) -> None:
    hands.submit(looking)
    hands.sql("update agentflow.agent_runs set advance_due_at = clock_timestamp() + interval '1 hour'")
    age(hands)

    assert swept(hands) == []


def test_a_run_past_its_deadline_ends_failed_with_that_reason(hands: Hands) -> None:
    run_id = hands.begin(looking)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'")

    for hint in swept(hands):
        hands.harness.obey(hands.runtime, hint)

    run = hands.harness.client.get(run_id)
    assert (run.status, run.error["kind"], hands.step_row(run_id)["status"]) == ("failed", "deadline", "skipped")


def test_a_run_past_its_deadline_records_what_still_runs_before_it_ends(hands: Hands) -> None:
    run_id = hands.begin(looking)
    claim = hands.claim(run_id)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() - interval '1 second'")

    for hint in swept(hands):
        hands.harness.obey(hands.runtime, hint)
    assert hands.run_row(run_id)["status"] == "running"
    hands.record(claim)
    hands.advance(run_id)

    assert (hands.run_row(run_id)["status"], hands.step_row(run_id)["status"]) == ("failed", "ok")


@pytest.mark.parametrize("reason", ["deadline", "cancel", "budget_attempts"])
def test_a_stopping_run_whose_last_worker_dies_ends_all_the_same(hands: Hands, reason: str) -> None:
    run_id = hands.begin(looking)
    claim = hands.claim(run_id)
    hands.sql("update agentflow.agent_runs set stop_requested = %(r)s, advance_due_at = clock_timestamp()", r=reason)
    hands.advance(run_id)
    hands.lose(claim)
    hands.drop_hints()

    hands.work()

    assert hands.run_row(run_id)["status"] == ("cancelled" if reason == "cancel" else "failed")
    assert hands.step_row(run_id)["status"] == "skipped"


def stopping(hands: Hands) -> Claim:
    """Claim a step of a run that is then asked to stop, and waits for that step alone."""
    run_id = hands.begin(looking)
    claim = hands.claim(run_id)
    hands.sql("update agentflow.agent_runs set stop_requested = 'deadline', advance_due_at = clock_timestamp()")
    assert hands.advance(run_id).answer == "stopping"
    hands.drop_hints()
    return claim


def test_a_stopping_run_does_not_wait_for_a_retry_that_is_far_away(hands: Hands) -> None:
    claim = stopping(hands)

    recorded = hands.record(claim, Retrying(Failed("transient", "503", happened=False), 600.0, "retry_transient"))

    assert recorded is not None
    assert recorded.undecided
    assert hands.run_row(claim.run.run_id)["advance_due_at"] is not None
    hands.advance(claim.run.run_id)
    assert (hands.run_row(claim.run.run_id)["status"], hands.step_row(claim.run.run_id)["status"]) == (
        "failed",
        "skipped",
    )


def test_a_stopping_run_does_not_wait_for_the_retry_of_a_call_that_took_too_long(hands: Hands) -> None:
    claim = stopping(hands)
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")

    advances = [hint for hint in swept(hands) if hint.step_index is None]

    assert [hint.run_id for hint in advances] == [claim.run.run_id]
    hands.advance(claim.run.run_id)
    assert hands.run_row(claim.run.run_id)["status"] == "failed"


def test_leases_of_dead_workers_are_taken_back_by_their_class(hands: Hands) -> None:
    reading, unsafe = hands.begin(looking), hands.begin(shipping)
    hands.claim(reading)
    hands.claim(unsafe)
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
    beats(hands, hands.runtime.worker.worker_id, since_s=60, last_s=60)

    [hint] = swept(hands)

    assert (hint.run_id, hint.queue) == (reading, "tool.look")
    assert [hands.step_row(each)["status"] for each in (reading, unsafe)] == ["pending", "in_doubt"]
    assert hands.run_row(unsafe)["status"] == "waiting_human"


def test_a_call_that_its_living_worker_does_not_end_is_a_timeout_and_tried_again_later(hands: Hands) -> None:
    reading, unsafe = hands.begin(looking), hands.begin(shipping)
    hands.claim(reading)
    hands.claim(unsafe)
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")

    assert swept(hands) == []

    assert [hands.step_row(each)["status"] for each in (reading, unsafe)] == ["pending", "in_doubt"]
    row = hands.step_row(reading)
    assert (row["waiting_reason"], row["error"]["kind"], row["quarantined"]) == ("retry_timeout", "timeout", False)
    assert hands.run_row(reading)["status"] == "waiting_tool"


def beats(hands: Hands, worker_id: str, *, since_s: float, last_s: float) -> None:
    """Give a worker a heartbeat that was unbroken since some time ago, and its last some time ago."""
    hands.sql(
        "update agentflow.workers set unbroken_since = clock_timestamp() - make_interval(secs => %(since)s), "
        "heartbeat_at = clock_timestamp() - make_interval(secs => %(last)s) where worker_id = %(id)s",
        id=worker_id,
        since=since_s,
        last=last_s,
    )


def a_judge(hands: Hands, *, since_s: float, last_s: float = 0) -> str:
    judge = hands.harness.runtime(*AGENTS).worker.worker_id
    beats(hands, judge, since_s=since_s, last_s=last_s)
    return judge


@pytest.mark.parametrize(
    ("agent", "silent_s", "judge_since_s", "status"),
    [
        (looking, DEAD_S + 1, DEAD_S + 1, "pending"),
        (paying, DEAD_S + 1, DEAD_S + 1, "pending"),
        (shipping, DEAD_S + 1, DEAD_S + 1, "running"),
        (looking, DEAD_S - 1, DEAD_S + 1, "running"),
        (looking, DEAD_S + 60, DEAD_S - 1, "running"),
        (looking, DEAD_S + 60, 0, "running"),
    ],
    ids=["read", "keyed", "unsafe", "not silent for long", "judge was silent too", "judge has just begun"],
)
def test_a_worker_is_dead_only_by_the_word_of_an_unbroken_judge(
    hands: Hands, agent: Pipeline, silent_s: float, judge_since_s: float, status: str
) -> None:
    claim = hands.claim(hands.begin(agent))
    beats(hands, hands.runtime.worker.worker_id, since_s=silent_s, last_s=silent_s)

    swept(hands, judge=a_judge(hands, since_s=judge_since_s))

    assert hands.step_row(claim.run.run_id)["status"] == status


def test_a_judge_that_has_not_beaten_since_an_outage_judges_nobody(hands: Hands) -> None:
    claim = hands.claim(hands.begin(looking))
    beats(hands, hands.runtime.worker.worker_id, since_s=100, last_s=60)

    swept(hands, judge=a_judge(hands, since_s=100, last_s=60))

    assert hands.step_row(claim.run.run_id)["status"] == "running"


def test_a_judge_that_nobody_knows_judges_nobody(hands: Hands) -> None:
    claim = hands.claim(hands.begin(looking))
    beats(hands, hands.runtime.worker.worker_id, since_s=60, last_s=60)

    swept(hands, judge=str(uuid.uuid4()))

    assert hands.step_row(claim.run.run_id)["status"] == "running"


def test_a_gap_between_two_beats_breaks_a_judges_record(hands: Hands) -> None:
    worker_id = hands.runtime.worker.worker_id
    database = hands.harness.database
    query = "select clock_timestamp() - unbroken_since < interval '5 seconds' from agentflow.workers"

    beats(hands, worker_id, since_s=60, last_s=2)
    database.atomically(lambda tx: workers.beat(tx, worker_id, gap_s=5, draining=False))
    assert hands.value(query) is False
    beats(hands, worker_id, since_s=60, last_s=6)
    database.atomically(lambda tx: workers.beat(tx, worker_id, gap_s=5, draining=False))
    assert hands.value(query) is True


def test_a_parent_reports_its_dead_children_and_nobody_elses(hands: Hands) -> None:
    mine, other = hands.claim(hands.begin(looking)), Hands(hands.harness, *AGENTS)
    theirs = other.claim(other.begin(looking))
    one, hints = sweeper(hands)

    one.report_dead_children(lambda: [hands.runtime.worker.pid])
    assert hands.step_row(mine.run.run_id)["status"] == "running"
    one.report_dead_children(list)

    assert hands.step_row(mine.run.run_id)["status"] == "pending"
    assert hands.step_row(theirs.run.run_id)["status"] == "running"
    assert [hint.run_id for hint in taken(hints)] == [mine.run.run_id]


def test_a_child_that_was_born_after_the_steps_were_read_is_not_dead(hands: Hands) -> None:
    run_id = hands.begin(looking)
    one, _ = sweeper(hands)

    def born_meanwhile() -> list[int]:
        hands.claim(run_id)
        return []

    one.report_dead_children(born_meanwhile)

    assert hands.step_row(run_id)["status"] == "running"


@pytest.mark.parametrize("served", [True, False], ids=["a quarantine is served", "no quarantine is served"])
def test_a_quarantined_step_is_hinted_where_somebody_listens(hands: Hands, served: bool) -> None:
    if served:
        hands.sql("update agentflow.workers set queues = array[%(queue)s]", queue=QUARANTINE_QUEUE)
    claim = hands.claim(hands.begin(looking))
    one, hints = sweeper(hands)
    queue = QUARANTINE_QUEUE if served else "tool.look"

    one.report_dead_children(list)
    age(hands)

    assert [hint.queue for hint in taken(hints)] == [queue]
    assert [hint.queue for hint in swept(hands)] == [queue]
    assert hands.step_row(claim.run.run_id)["quarantined"] is True


def test_a_forgotten_run_is_revived(hands: Hands) -> None:
    run_id = hands.begin(looking)
    hands.record(hands.claim(run_id))
    hands.sql(f"update agentflow.agent_runs set advance_due_at = null, updated_at = {LONG_AGO}")
    one, hints = sweeper(hands)

    for _ in range(16):
        one.sweep()

    assert [hint.run_id for hint in taken(hints)] == [run_id]


@pytest.mark.parametrize(
    "holding",
    ["pause_requested = true", "finished_at = clock_timestamp()"],
)
def test_a_run_that_waits_or_has_ended_is_not_forgotten(hands: Hands, holding: str) -> None:
    run_id = hands.begin(looking)
    hands.record(hands.claim(run_id))
    hands.sql(f"update agentflow.agent_runs set advance_due_at = null, updated_at = {LONG_AGO}, {holding}")
    one, hints = sweeper(hands)

    for _ in range(16):
        one.sweep()

    assert taken(hints) == []


def test_one_sweeper_at_a_time_has_the_turn(hands: Hands) -> None:
    (first, _), (second, _) = sweeper(hands), sweeper(hands, judge=str(uuid.uuid4()))

    assert (first.sweep(), second.sweep(), first.sweep()) == (True, False, True)


def test_a_holder_that_is_frozen_loses_the_turn(hands: Hands) -> None:
    (frozen, _), (other, _) = sweeper(hands), sweeper(hands, judge=str(uuid.uuid4()))
    frozen.sweep()
    hands.sql("update agentflow.turns set held_until = clock_timestamp() - interval '1 second'")

    assert (other.sweep(), frozen.sweep()) == (True, False)


def test_a_deadline_that_a_person_is_waited_for_does_not_pass(hands: Hands) -> None:
    run_id = hands.begin(shipping)
    claim = hands.claim(run_id)
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() + interval '2 seconds'")
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
    swept(hands)

    waiting = hands.run_row(run_id)
    assert (waiting["status"], waiting["deadline_at"]) == ("waiting_human", None)
    assert 0 < waiting["time_left_s"] <= 2

    hands.record(claim)
    after = hands.run_row(run_id)
    left = hands.value("select extract(epoch from deadline_at - clock_timestamp()) from agentflow.agent_runs")
    assert (after["status"], after["time_left_s"]) == ("running", None)
    assert 0 < left <= waiting["time_left_s"]


def test_a_run_always_has_a_deadline(hands: Hands) -> None:
    quick = Pipeline("quick", [look], budget=Budget(time_s=3))
    hands = Hands(hands.harness, quick)

    claim = hands.claim(hands.begin(quick))

    assert claim.run.deadline_at is not None
    assert (claim.run.deadline_at - claim.claimed_at).total_seconds() == pytest.approx(3, abs=0.5)
