"""Continuation: the process that did a step goes on with the next, in one transaction, where nothing has moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agentflow import Agent, Context, Limits, Pipeline, Workflow, tool
from agentflow.client.operations import Operations
from agentflow.domain.decision import Done, Next
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import Completed, Failed, Fenced
from agentflow.domain.run import Run
from agentflow.domain.step import NewStep, Step
from agentflow.engine.executor import advance
from agentflow.gate.redis_gate import RedisGate
from agentflow.testing import Harness, call, scripted
from agentflow.testing.crashes import SimulatedCrash
from tests.integration.hands import Hands, Interrupted
from tests.integration.lost_answers import LostAnswers
from tests.integration.operated import operations_of

pytest_plugins = ["tests.integration.gate_server"]

CALLS: list[str] = []
QUEUES = frozenset(
    {"tool.look", "tool.keep", "tool.pay", "tool.enter", "tool.fail", "tool.book", "tool.check", "model"}
)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def note(ctx: Context, value: str) -> str:
    CALLS.append(f"{ctx.step_index}:{ctx.attempt}:{value}")
    return value


@tool(effect="read")
def look(ctx: Context, value: str) -> str:
    return note(ctx, value)


@tool(effect="keyed")
def keep(ctx: Context, value: str) -> str:
    ctx.scratchpad["kept"] = value
    return note(ctx, f"{value}!{ctx.idempotency_key.rpartition(':')[2]}")


@tool(effect="unsafe")
def pay(ctx: Context, value: str) -> str:
    ctx.outbox.email(to="a@example.com", subject="Paid", body=value)
    return note(ctx, value)


@tool(effect="transactional")
def enter(ctx: Context, value: str) -> str:
    assert ctx.connection.exec_driver_sql("select 1").scalar() == 1
    return note(ctx, value)


@tool(effect="read")
def fail(ctx: Context, value: str) -> str:
    raise ValueError(value)


@tool(effect="keyed", key="seat:{value}")
def book(ctx: Context, value: str) -> str:
    return note(ctx, value)


@tool(effect="read")
def check(ctx: Context, value: str) -> str:
    return note(ctx, value)


mixed = Pipeline("mixed", [look, keep, pay, enter, check])
failing = Pipeline("failing", [look, fail, pay])
booking = Pipeline("booking", [look, book])
plain = Pipeline("plain", [look, keep])
VALUE = {"value": "v"}


class Told:
    """An announcer that remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[Hint] = []
        self.ended: dict[str, type] = {}

    def begin(self, hint: Hint) -> str:
        """Remember a beginning."""
        self.begun.append(hint)
        return f"task-{len(self.begun)}"

    def end(self, task_id: str, ending: object) -> None:
        """Remember an end."""
        self.ended[task_id] = type(ending)


def going_on(agentflow: Harness, *agents: Any, **named: Any) -> Hands:
    hands = Hands(agentflow, *agents, **{name: value for name, value in named.items() if name == "model"})
    runtime = hands.runtime
    runtime.isolated, runtime.continue_steps, runtime.queues, runtime.announcer = True, 100, QUEUES, Told()
    for name, value in named.items():
        if name != "model":
            setattr(runtime, name, value)
    return hands


def begun(hands: Hands, agent: Any, value: Any = VALUE) -> str:
    run_id = hands.begin(agent, value)
    hands.drop_hints()
    return run_id


def statuses(hands: Hands, run_id: str) -> list[tuple[str, int]]:
    return [(step.status, step.attempt) for step in hands.harness.client.steps(run_id)]


def waiting_hints(hands: Hands) -> list[Hint]:
    found = []
    while hint := hands.harness.hints.take():
        found.append(hint)
    return found


def steps_hinted(hands: Hands) -> list[int | None]:
    return [hint.step_index for hint in waiting_hints(hands)]


def test_a_run_is_done_in_one_task_and_each_step_told_of(agentflow: Harness) -> None:
    hands = going_on(agentflow, mixed)
    run_id = begun(hands, mixed)

    ending = hands.do(run_id)

    run = agentflow.client.get(run_id)
    assert isinstance(ending, Completed)
    assert (run.status, run.result) == ("done", "v")
    assert statuses(hands, run_id) == [("ok", 1)] * 5
    assert CALLS == ["0:1:v", "1:1:v!1", "2:1:v", "3:1:v", "4:1:v"]
    told: Any = hands.runtime.announcer
    assert [hint.step_index for hint in told.begun] == [1, 2, 3, 4]
    assert list(told.ended.values()) == [Completed] * 4
    assert [hint.task_name for hint in waiting_hints(hands)] == ["outbox.email"], "nobody needs the others' messages"
    assert hands.value("select count(*) from agentflow.outbox") == 1
    assert hands.run_row(run_id)["scratchpad"] == {"kept": "v"}


def test_what_is_logged_is_what_is_logged_of_steps_that_go_by_messages(agentflow: Harness) -> None:
    hands, others = going_on(agentflow, mixed), Hands(agentflow, mixed)
    here, there = begun(hands, mixed), begun(others, mixed)

    hands.do(here)
    for index in range(5):
        others.do(there, index)

    for columns, table in (
        ("old, new, reason, step_index", "transitions"),
        ("step_index, attempt, status", "attempts"),
        ("status, spent_attempts, spent_tool_calls, version, current_step", "agent_runs"),
    ):
        query = f"select {columns} from agentflow.{table} where run_id = %(run_id)s"
        assert hands.sql(query, run_id=here) == hands.sql(query, run_id=there)


def test_a_model_and_its_tools_go_on_in_one_task(agentflow: Harness) -> None:
    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[look, keep])
    hands = going_on(agentflow, clerk, model=scripted(call("look", value="a"), call("keep", value="b"), "all is well"))
    run_id = begun(hands, clerk, "go")

    hands.do(run_id)

    run = agentflow.client.get(run_id)
    assert (run.status, run.result) == ("done", "all is well")
    assert [step.tool_name for step in agentflow.client.steps(run_id)] == ["model", "look", "model", "keep", "model"]
    assert hands.run_row(run_id)["reserved_tokens"] == 0


STOPS: list[Any] = [
    pytest.param(Operations.cancel, "cancelled", 1, id="cancelled"),
    pytest.param(Operations.pause, "paused", 2, id="paused"),
]


@pytest.mark.parametrize("point", ["after_call", "before_continue", "after_continue", "before_record"])
@pytest.mark.parametrize(("request_", "status", "steps"), STOPS)
def test_a_run_that_is_stopped_meanwhile_takes_no_further_step(
    agentflow: Harness, gate: RedisGate, point: str, request_: Callable[..., object], status: str, steps: int
) -> None:
    hands = going_on(agentflow, plain, gate=gate)
    run_id = begun(hands, plain)
    hands.runtime.reached = Interrupted(point, lambda claim: request_(operations_of(hands), claim.run.run_id, by="ada"))

    hands.do(run_id)
    hands.work()

    assert CALLS == ["0:1:v"]
    assert agentflow.client.get(run_id).status == status
    assert len(agentflow.client.steps(run_id)) <= steps
    assert in_use(gate, "look", "keep") == [0, 0]


def in_use(gate: RedisGate, *names: str) -> list[int]:
    return [each.in_use for each in gate.states({name: name for name in names})]


REASONS: list[Any] = [
    pytest.param({"queues": frozenset({"tool.look"})}, id="of a queue that this worker does not serve"),
    pytest.param({"is_draining": lambda: True}, id="of a worker that drains"),
    pytest.param({"continue_steps": 1}, id="beyond the bound of steps"),
    pytest.param({"continue_s": -1.0}, id="beyond the bound of seconds"),
]


@pytest.mark.parametrize("settings", REASONS)
def test_a_step_goes_by_its_message_where_it_is(agentflow: Harness, settings: dict[str, Any]) -> None:
    hands = going_on(agentflow, plain, **settings)
    run_id = begun(hands, plain)

    hands.do(run_id)

    assert CALLS == ["0:1:v"]
    assert statuses(hands, run_id) == [("ok", 1), ("pending", 0)]
    assert steps_hinted(hands) == [1]


def test_a_step_that_may_have_to_be_killed_is_not_gone_on_with_beside_others(agentflow: Harness) -> None:
    hands = going_on(agentflow, mixed, isolated=False)
    run_id = begun(hands, mixed)

    hands.do(run_id)

    assert statuses(hands, run_id) == [("ok", 1), ("ok", 1), ("pending", 0)]
    assert steps_hinted(hands) == [2]


def test_a_step_whose_bulkhead_is_full_goes_by_its_message(agentflow: Harness, gate: RedisGate) -> None:
    @tool(effect="read", name="keep", limits=Limits(slots=1))
    def crowded(ctx: Context, value: str) -> str:
        return note(ctx, value)

    line = Pipeline("line", [look, crowded])
    hands = going_on(agentflow, line, gate=gate)
    first, second = begun(hands, line), begun(hands, line)
    hands.runtime.continue_steps = 1
    hands.do(first)
    hands.drop_hints()
    hands.runtime.continue_steps = 100
    inside: list[Sequence[tuple[str, int]]] = []

    def meanwhile(_: object) -> None:
        hands.do(second)
        inside.append(statuses(hands, second))

    hands.runtime.reached = Interrupted("before_call", meanwhile)
    hands.do(first, 1)
    hands.work()

    assert inside == [[("ok", 1), ("pending", 0)]]
    assert {agentflow.client.get(run_id).status for run_id in (first, second)} == {"done"}
    assert in_use(gate, "look", "keep") == [0, 0]


def test_several_steps_at_once_go_by_their_messages(agentflow: Harness) -> None:
    def decide(run: Run, steps: Sequence[Step]) -> Next | Done:
        wanted = {0: 1, 1: 2}.get(len(steps))
        if wanted is None:
            return Done("all")
        return Next([NewStep("look", {"value": str(each)}) for each in range(wanted)])

    fan = Workflow("fan", decide=decide, tools=[look])
    hands = going_on(agentflow, fan)
    run_id = begun(hands, fan, None)

    hands.do(run_id)

    assert [status for status, _ in statuses(hands, run_id)] == ["ok", "pending", "pending"]
    assert sorted(map(str, steps_hinted(hands))) == ["1", "2"]


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])
def test_a_record_whose_answer_is_lost_goes_on_once(agentflow: Harness, committed: bool) -> None:
    hands = going_on(agentflow, mixed)
    run_id = begun(hands, mixed)
    # The first commit is the claim's.
    LostAnswers(agentflow.database).lose_next(after=1, committed=committed)

    hands.do(run_id)

    assert CALLS == ["0:1:v", "1:1:v!1", "2:1:v", "3:1:v", "4:1:v"]
    assert agentflow.client.get(run_id).status == "done"
    assert statuses(hands, run_id) == [("ok", 1)] * 5


def test_a_step_that_another_has_taken_since_a_lost_answer_is_left_to_it(agentflow: Harness) -> None:
    hands, other = going_on(agentflow, plain), Hands(agentflow, plain)
    run_id = begun(hands, plain)
    taken: list[Any] = []

    def lose_and_take() -> None:
        hands.lose(hands_claim(hands, run_id, 1))
        taken.append(other.claim(run_id, 1))

    LostAnswers(agentflow.database).lose_next(after=1, meanwhile=lose_and_take)

    hands.do(run_id)

    assert CALLS == ["0:1:v"], "the second step is the other's"
    assert statuses(hands, run_id) == [("ok", 1), ("running", 2)]


def hands_claim(hands: Hands, run_id: str, step_index: int) -> Any:
    """Return a claim that stands in the database, as far as taking it back asks for it."""
    from types import SimpleNamespace

    row = hands.step_row(run_id, step_index)
    return SimpleNamespace(step=SimpleNamespace(run_id=run_id, step_index=step_index), attempt=row["attempt"])


def test_a_key_that_another_run_holds_parks_the_next_step(agentflow: Harness, gate: RedisGate) -> None:
    hands = going_on(agentflow, booking, gate=gate)
    holder, run_id = begun(hands, booking), begun(hands, booking)
    hands.runtime.continue_steps = 1
    hands.do(holder)
    hands.claim(holder, 1)
    hands.runtime.continue_steps = 100

    hands.do(run_id)

    assert statuses(hands, run_id) == [("ok", 1), ("pending", 0)]
    assert hands.step_row(run_id, 1)["waiting_reason"] == "key_in_flight"
    assert in_use(gate, "look", "book") == [0, 0]


def test_a_failure_on_the_way_ends_the_run_there(agentflow: Harness) -> None:
    hands = going_on(agentflow, failing)
    run_id = begun(hands, failing)

    assert isinstance(hands.do(run_id), Completed)

    assert agentflow.client.get(run_id).status == "failed"
    assert statuses(hands, run_id) == [("ok", 1), ("error", 1)]
    told: Any = hands.runtime.announcer
    assert told.ended == {"task-1": Failed}


def test_each_step_has_a_timer_of_its_own(agentflow: Harness) -> None:
    armed: list[float] = []

    class Armed:
        def arm(self, at: float) -> None:
            armed.append(at)

        def disarm(self) -> None:
            armed.append(0.0)

    hands = going_on(agentflow, plain, timer=Armed())
    run_id = begun(hands, plain)

    hands.do(run_id)

    # Armed for the lease, for the call within it, for the lease again; then put off.
    assert len(armed) == 8
    assert armed[3] == armed[7] == 0.0
    assert armed[4] > armed[0] > 0.0


def test_a_crash_after_the_record_leaves_a_claimed_step_that_is_taken_back(agentflow: Harness) -> None:
    hands = going_on(agentflow, plain)
    run_id = begun(hands, plain)

    def crash(_: object) -> None:
        raise SimulatedCrash

    hands.runtime.reached = Interrupted("after_record", crash)
    with pytest.raises(SimulatedCrash):
        hands.do(run_id)
    assert statuses(hands, run_id) == [("ok", 1), ("running", 1)]

    hands.lose(hands_claim(hands, run_id, 1))
    hands.work()

    assert agentflow.client.get(run_id).status == "done"
    assert CALLS == ["0:1:v", "1:2:v!1"]


def test_an_outcome_that_comes_too_late_goes_nowhere(agentflow: Harness, gate: RedisGate) -> None:
    hands = going_on(agentflow, plain, gate=gate)
    run_id = begun(hands, plain)
    hands.runtime.reached = Interrupted("after_continue", hands.lose)

    assert isinstance(hands.do(run_id), Fenced)

    assert statuses(hands, run_id) == [("pending", 1)]
    assert in_use(gate, "look", "keep") == [0, 0]


def test_a_fresh_run_is_started_and_done_in_one_task(agentflow: Harness) -> None:
    hands = going_on(agentflow, mixed)
    run_id = hands.submit(mixed, VALUE)

    advance(hands.runtime, run_id)

    assert agentflow.client.get(run_id).status == "done"
    assert statuses(hands, run_id) == [("ok", 1)] * 5
    told: Any = hands.runtime.announcer
    assert [hint.step_index for hint in told.begun] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "rolled back"])
def test_a_start_whose_answer_is_lost_is_made_once(agentflow: Harness, gate: RedisGate, committed: bool) -> None:
    hands = going_on(agentflow, plain, gate=gate)
    run_id = hands.submit(plain, VALUE)
    LostAnswers(agentflow.database).lose_next(committed=committed)

    advance(hands.runtime, run_id)

    assert agentflow.client.get(run_id).status == "done"
    assert CALLS == ["0:1:v", "1:1:v!1"]
    assert in_use(gate, "look", "keep") == [0, 0]


def test_a_start_that_goes_on_elsewhere_hints_its_first_step(agentflow: Harness) -> None:
    hands = going_on(agentflow, plain, queues=frozenset({"coordinator"}))
    run_id = hands.submit(plain, VALUE)
    hands.drop_hints()

    advance(hands.runtime, run_id)

    assert (statuses(hands, run_id), steps_hinted(hands)) == ([("pending", 0)], [0])


def test_a_start_that_is_refused_its_claim_gives_its_place_back(agentflow: Harness, gate: RedisGate) -> None:
    alone = Pipeline("alone", [book])
    hands = going_on(agentflow, alone, gate=gate)
    holder = begun(hands, alone)
    hands.claim(holder)
    run_id = hands.submit(alone, VALUE)

    advance(hands.runtime, run_id)

    assert statuses(hands, run_id) == [("pending", 0)]
    assert hands.step_row(run_id)["waiting_reason"] == "key_in_flight"
    assert in_use(gate, "book") == [0]
