"""A slot of the gate is given back whatever becomes of the step that holds it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from agentflow import Context, Limits, Pipeline, Rate, tool
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.outcome import Completed
from agentflow.engine.executor import Fenced
from agentflow.engine.sweeper import Sweeper
from agentflow.engine.visiting import wake
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Heard, Verdict, Visitor
from agentflow.gate.redis_gate import RedisGate
from agentflow.testing.crashes import SimulatedCrash
from agentflow.testing.hints import CollectedHints
from tests.integration.faulty import Answer, Fault
from tests.integration.gated import OPENS_AT_TWO, PAY, paying, state, statuses, swept
from tests.integration.hands import Hands, Interrupted
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
