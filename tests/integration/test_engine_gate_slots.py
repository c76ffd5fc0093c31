"""A slot of the gate is given back whatever becomes of the step that holds it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis

from agentflow import Context, Limits, Pipeline, Rate, tool
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.outcome import Completed, Fenced
from agentflow.engine.slot_recovery import SlotRecovery
from agentflow.engine.sweeper import DEAD_S, GAP_S, Sweeper
from agentflow.engine.visiting import wake
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Heard, Verdict, Visitor
from agentflow.gate.redis_gate import RedisGate
from agentflow.local.address import choose_port
from agentflow.store.workers import Judge
from agentflow.testing import Harness
from agentflow.testing.crashes import SimulatedCrash
from agentflow.testing.hints import CollectedHints
from tests.integration.faulty import Answer, Fault
from tests.integration.gated import OPENS_AT_TWO, PAY, paying, state, statuses, swept
from tests.integration.hands import Hands, Interrupted
from tests.integration.outpost import Outpost, parcels
from tests.integration.outside import Endpoint

pytest_plugins = ["tests.integration.gate_server", "tests.integration.gated_runs", "tests.integration.outside_server"]


REFUSALS: list[Any] = [
    pytest.param("update agentflow.agent_steps set status = 'running', attempt = 1", "duplicate", id="duplicate"),
    pytest.param(
        "update agentflow.agent_steps set next_attempt_at = clock_timestamp() + interval '1 minute'",
        "not_due",
        id="not due",
    ),
    pytest.param("update agentflow.agent_runs set stop_requested = 'cancel'", "run_stopped", id="run stopped"),
    pytest.param("update agentflow.agent_runs set pause_requested = true", "run_stopped", id="run paused"),
    pytest.param("update agentflow.agent_runs set deadline_at = clock_timestamp()", "run_stopped", id="deadline"),
    pytest.param("update agentflow.agent_runs set spent_attempts = 60", "budget", id="budget"),
]


def assert_nothing_is_held(hands: Hands) -> None:
    assert state(hands).in_use == 0
    assert hands.value("select count(*) from agentflow.attempts") == 0


@pytest.mark.parametrize(("change", "answer"), REFUSALS)
def test_a_slot_is_given_back_where_the_claim_is_refused(
    begun: Any, endpoint: Endpoint, change: str, answer: str
) -> None:
    hands, (run_id,) = begun(paying(slots=1, rates=(Rate(1, per_s=60),)))

    def meanwhile(point: str, *_: object) -> None:
        if point == "before_claim":
            assert state(hands).in_use == 1
            hands.sql(change)

    hands.runtime.reached = meanwhile

    ending = hands.do(run_id)

    assert isinstance(ending, Refused)
    assert ending.answer == answer
    assert_nothing_is_held(hands)
    assert endpoint.arrivals == []
    # The rate's token came back as well.
    assert hands.runtime.gate.capacity([PAY]) == {PAY: 1}


@pytest.mark.parametrize("other", ["in flight", "done", "other arguments"])
def test_a_slot_is_given_back_where_a_key_is_anothers(begun: Any, endpoint: Endpoint, other: str) -> None:
    pipeline = keyed()
    hands, (holder, run_id) = begun(pipeline, 2)
    if other == "other arguments":
        [run_id] = [hands.begin(pipeline, {"url": endpoint.url + "?other"})]
    claim = hands.claim(holder)
    if other == "done":
        hands.record(claim)

    ending = hands.do(run_id)

    answers = {"in flight": "key_in_flight", "done": "key_done", "other arguments": "key_conflict"}
    assert isinstance(ending, Refused)
    assert (ending.answer, state(hands).in_use) == (answers[other], 0)


def keyed() -> Pipeline:
    @tool(effect="keyed", name=PAY, key="seat:{seat}")
    def pay(ctx: Context, url: str, seat: str = "1A") -> Any:
        return ctx.idempotency_key

    return Pipeline("paying_once", [pay])


def test_a_slot_is_given_back_where_this_process_may_not_serve_the_step(begun: Any) -> None:
    hands, (run_id,) = begun(paying(effect="unsafe"))
    hands.runtime.isolated = False

    assert hands.do(run_id).answer == ClaimAnswer.UNSERVED
    assert_nothing_is_held(hands)


@pytest.mark.parametrize(
    "answer", [Answer(200), Answer(404), Answer(503), Answer(402)], ids=["ok", "404", "503", "402"]
)
def test_a_slot_is_given_back_after_the_record_whatever_was_recorded(
    begun: Any, endpoint: Endpoint, answer: Fault
) -> None:
    endpoint.answers(answer)
    hands, (run_id,) = begun(paying())
    held: list[tuple[str, int]] = []
    hands.runtime.reached = lambda point, *_: held.append((point, state(hands).in_use))

    hands.do(run_id)

    told = dict(held)
    assert (told["after_call"], told["before_record"], told["after_record"]) == (1, 1, 1)
    assert state(hands).in_use == 0


def test_a_slot_is_given_back_where_the_record_is_refused_by_the_fence(begun: Any, endpoint: Endpoint) -> None:
    hands, (run_id,) = begun(paying())
    hands.runtime.reached = Interrupted("before_record", hands.lose)

    assert isinstance(hands.do(run_id), Fenced)
    assert state(hands).in_use == 0


def test_a_slot_is_given_back_where_the_record_raises(begun: Any, endpoint: Endpoint) -> None:
    hands, (run_id,) = begun(paying())

    def fail(_: object) -> None:
        raise RuntimeError("the disk is full")

    hands.runtime.reached = Interrupted("before_record", fail)

    with pytest.raises(RuntimeError):
        hands.do(run_id)
    assert state(hands).in_use == 0


class Unwell:
    """A gate whose process dies before it can leave."""

    def __init__(self, gate: RedisGate) -> None:
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)

    def leave(self, *_: Any) -> Any:
        raise SimulatedCrash


def dead(hands: Hands, run_id: str) -> None:
    """Let a worker die in the call, with its slot."""
    gate, hands.runtime.gate = hands.runtime.gate, Unwell(hands.runtime.gate)  # type: ignore[arg-type]
    hands.runtime.reached = Interrupted("before_call", lambda _: (_ for _ in ()).throw(SimulatedCrash()))
    with pytest.raises(SimulatedCrash):
        hands.do(run_id)
    hands.runtime.gate = gate
    assert state(hands).in_use == 1


def test_the_slot_of_a_child_that_died_is_taken_back_on_its_parents_report(begun: Any) -> None:
    hands, (run_id,) = begun(paying(slots=1))
    dead(hands, run_id)
    hints = CollectedHints()

    Sweeper(
        hands.harness.database, hints, hints, hands.runtime.worker.worker_id, hands.runtime.gate
    ).report_dead_children(list)

    assert state(hands).in_use == 0
    assert isinstance(hands.do(run_id), Completed)


def test_the_slot_of_a_worker_that_died_is_taken_back_by_the_sweeper(begun: Any) -> None:
    hands, (run_id,) = begun(paying(slots=1))
    dead(hands, run_id)
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")

    swept(hands)

    assert state(hands).in_use == 0
    hands.work()
    assert statuses(hands, [run_id]) == ["done"]


def recorded(hands: Hands, run_id: str) -> None:
    """Let a worker die between the record and the leave, with its slot."""
    gate, hands.runtime.gate = hands.runtime.gate, Unwell(hands.runtime.gate)  # type: ignore[arg-type]
    with pytest.raises(SimulatedCrash):
        hands.do(run_id)
    hands.runtime.gate = gate
    assert (hands.step_row(run_id)["status"], state(hands).in_use) == ("ok", 1)


def silent(hands: Hands, *, judge_unbroken_s: float = 60.0) -> Hands:
    """Let a worker have been silent for a minute, and return another that judges it."""
    judge = Hands(hands.harness)
    judge.runtime.gate = hands.runtime.gate
    since = (
        "update agentflow.workers set {} = clock_timestamp() - make_interval(secs => %(s)s) where worker_id = %(id)s"
    )
    hands.sql(since.format("heartbeat_at"), s=60.0, id=hands.runtime.worker.worker_id)
    hands.sql(since.format("unbroken_since"), s=judge_unbroken_s, id=judge.runtime.worker.worker_id)
    return judge


def slot_recovery(judge: Hands) -> SlotRecovery:
    runtime = judge.runtime
    return SlotRecovery(runtime.database, runtime.gate, Judge(runtime.worker.worker_id, DEAD_S, GAP_S))


def test_the_slot_of_a_recorded_step_goes_back_when_its_worker_is_found_dead(begun: Any, endpoint: Endpoint) -> None:
    hands, (run_id,) = begun(paying(slots=1))
    recorded(hands, run_id)

    swept(silent(hands, judge_unbroken_s=DEAD_S - 1))
    assert state(hands).in_use == 1, "the judge may be as deaf as the other is silent"

    swept(silent(hands))
    assert state(hands).in_use == 0


def test_a_step_that_a_silent_worker_has_still_claimed_keeps_its_slot_until_it_is_taken_back(begun: Any) -> None:
    hands, (run_id,) = begun(paying(slots=1, effect="unsafe"))
    dead(hands, run_id)
    judge = silent(hands)

    swept(judge)
    assert state(hands).in_use == 1, "a frozen worker may be in its call"

    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
    swept(judge)
    assert state(hands).in_use == 0


def test_a_dead_workers_slot_goes_back_while_another_holds_one_for_the_same_step(begun: Any) -> None:
    hands, (run_id,) = begun(paying(slots=3))
    recorded(hands, run_id)
    judge = silent(hands)
    bulkhead = Bulkhead(PAY, PAY, Limits(slots=3, breaker=OPENS_AT_TWO))
    other = Visitor(run_id, 0, judge.runtime.worker.worker_id, lease_s=60)
    assert isinstance(hands.runtime.gate.enter(bulkhead, other), Admitted)

    swept(judge)

    [held] = hands.runtime.gate.held([PAY], other.holder)
    assert (held.run_id, held.step_index, state(hands).in_use) == (run_id, 0, 1)


def test_the_slot_of_a_sent_message_goes_back_when_its_relay_is_found_dead(
    agentflow: Harness, endpoint: Endpoint, gate: RedisGate
) -> None:
    outpost = Outpost(agentflow, parcels(endpoint), gate=Unwell(gate))
    outpost.sql("update agentflow.workers set queues = array['outbox.parcel']")
    outpost.queue(1)
    outpost.runtime.reached = gone_after_sending
    with pytest.raises(SimulatedCrash):
        outpost.relay()
    outpost.runtime.gate = gate

    slot_recovery(silent(outpost)).sweep()
    assert state(outpost, "outbox.parcel").in_use == 1, "a frozen relay may be in its call"

    outpost.sql("update agentflow.outbox set status = 'sent', lease_until = null")
    slot_recovery(silent(outpost)).sweep()
    assert state(outpost, "outbox.parcel").in_use == 0


def gone_after_sending(point: str, *_: object, **__: object) -> None:
    if point == "after_sending":
        raise SimulatedCrash


def test_redis_is_asked_once_for_each_dead_worker(begun: Any, gate_redis: redis.Redis) -> None:
    hands, (run_id,) = begun(paying())
    recorded(hands, run_id)
    recovery = slot_recovery(silent(hands))
    recovery.sweep()
    asked = scripts_run(gate_redis)

    recovery.sweep()
    assert scripts_run(gate_redis) == asked

    silent(hands)
    recovery.sweep()
    assert scripts_run(gate_redis) == asked + 1, "it came back, and died again"


def scripts_run(server: redis.Redis) -> int:
    found: Any = server.info("commandstats")
    return int(found["cmdstat_evalsha"]["calls"])


def test_a_dead_workers_slots_are_asked_for_again_where_redis_was_away(begun: Any) -> None:
    hands, (run_id,) = begun(paying())
    recorded(hands, run_id)
    judge = silent(hands)
    gate, judge.runtime.gate = hands.runtime.gate, Away(hands.runtime.gate)
    recovery = slot_recovery(judge)

    recovery.sweep()
    assert gate.states({PAY: PAY})[0].in_use == 1
    recovery.sweep()

    assert gate.states({PAY: PAY})[0].in_use == 0


def test_a_flushed_redis_has_no_slots_to_take_back(begun: Any, gate_redis: redis.Redis) -> None:
    hands, (run_id,) = begun(paying())
    recorded(hands, run_id)
    gate_redis.flushall()
    judge = silent(hands)

    swept(judge)

    assert hands.runtime.gate.held([PAY], hands.runtime.worker.worker_id) == []


class Away:
    """A gate that cannot be reached the first time that it is asked who holds what."""

    def __init__(self, gate: RedisGate) -> None:
        self._gates = iter([RedisGate(f"redis://127.0.0.1:{choose_port()}/0")])
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        gate = next(self._gates, self._gate) if name == "held" else self._gate
        return getattr(gate, name)


class Hasty:
    """A gate at which somebody leaves just after another was denied, and before that one is parked."""

    def __init__(self, gate: RedisGate, leave: Callable[[], None]) -> None:
        self._gate = gate
        self._leave = leave

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)

    def enter(self, bulkhead: Bulkhead, visitor: Visitor) -> Any:
        answer = self._gate.enter(bulkhead, visitor)
        if isinstance(answer, Denied):
            self._leave()
        return answer


@pytest.mark.parametrize("pool_slots", [None, 1], ids=["slots_full", "pool_full"])
def test_room_that_frees_between_a_denial_and_the_parking_is_not_lost(
    begun: Any, gate: RedisGate, pool_slots: int | None
) -> None:
    hands, (run_id,) = begun(paying(slots=1 if pool_slots is None else 8))
    hands.runtime.pool_slots = pool_slots
    bulkhead = Bulkhead(PAY, PAY, Limits(slots=1 if pool_slots is None else 8, breaker=OPENS_AT_TWO))
    other = gate.enter(bulkhead, Visitor(str(uuid.uuid4()), 0, hands.runtime.worker.worker_id, lease_s=60))
    assert isinstance(other, Admitted)
    hasty = Hasty(gate, lambda: wake(hands.runtime, gate.leave(other, Heard(Verdict.OK))))
    hands.runtime.gate = hasty  # type: ignore[assignment]

    denied = hands.do(run_id)

    assert isinstance(denied, Refused)
    assert denied.answer is ClaimAnswer.DENIED
    step = hands.step_row(run_id)
    assert (step["status"], step["waiting_reason"]) == ("pending", None)
    hint = hands.harness.hints.take()
    assert hint is not None
    assert (hint.run_id, hint.step_index) == (run_id, 0)
    assert isinstance(hands.do(run_id), Completed)
