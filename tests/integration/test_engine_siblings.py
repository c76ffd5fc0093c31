from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError

import pytest

from agentflow import Agent, Context, ToolError, tool
from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed
from agentflow.engine.executor import Ending
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands, Interrupted

NAMES = ("left", "right")


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


@tool(effect="keyed")
def write(ctx: Context, key: str, value: int) -> str:
    ctx.scratchpad[key] = value
    return f"{ctx.idempotency_key} wrote {key}"


@tool(effect="keyed")
def wipe(ctx: Context, key: str) -> str:
    del ctx.scratchpad[key]
    return f"{ctx.idempotency_key} wiped {key}"


@tool(effect="transactional")
def enter(ctx: Context, key: str, value: int) -> str:
    ctx.connection.exec_driver_sql("insert into agentflow.alerts (cause, message) values ('entered', %s)", (key,))
    ctx.scratchpad[key] = value
    return f"entered {key}"


@tool(effect="keyed", on_error="fail")
def fail(ctx: Context) -> str:
    raise ToolError(f"no {ctx.idempotency_key}", happened=False)


clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[look, write, wipe, enter, fail])


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Work in as many threads, all of them let go at one moment."""
    together = Barrier(count)

    def wait_and_work(number: int) -> object:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return [each.result() for each in [threads.submit(wait_and_work, number) for number in range(count)]]


class MeetAt:
    """Holds each step at a point until as many have come there."""

    def __init__(self, point: str, count: int) -> None:
        self._point = point
        self._barrier = Barrier(count, timeout=10)

    def __call__(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        if point == self._point and claim is not None and claim.step.tool_name != "model":
            try:
                self._barrier.wait()
            except BrokenBarrierError:
                raise AssertionError(f"not everybody came to {point!r}") from None


def thought(agentflow: Harness, *wanted: object, **runtime: object) -> tuple[Hands, str]:
    """A run whose model has asked for some calls, none of them begun."""
    hands = Hands(agentflow, clerk, model=scripted(calls(*wanted), "joined"))  # type: ignore[arg-type]
    run_id = hands.begin(clerk, "go")
    hands.do(run_id)
    return hands, run_id


@pytest.mark.parametrize("go", range(10))
@pytest.mark.parametrize("point", ["after_call", "before_record"])
def test_siblings_that_end_at_one_moment_join_exactly_once(agentflow: Harness, point: str, go: int) -> None:
    hands, run_id = thought(agentflow, call("look", n=go), call("look", n=go + 1))
    hands.runtime.reached = MeetAt(point, 2)

    at_once(2, lambda number: hands.do(run_id, number + 1))

    steps = agentflow.client.steps(run_id)
    assert [(step.tool_name, step.status) for step in steps] == [
        ("model", "ok"), ("look", "ok"), ("look", "ok"), ("model", "pending"),
    ]  # fmt: skip


@pytest.mark.parametrize("go", range(3))
def test_eight_siblings_join_exactly_once_and_count_everything(agentflow: Harness, go: int) -> None:
    hands, run_id = thought(agentflow, *[call("write", key=f"k{n}", value=n) for n in range(8)])

    at_once(8, lambda number: hands.do(run_id, number + 1))
    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.result, run.attempts, run.tool_calls) == ("done", "joined", 10, 8)
    assert run.scratchpad == {f"k{n}": n for n in range(8)}
    assert len(agentflow.client.steps(run_id)) == 10


def test_a_step_hinted_twice_at_one_moment_is_done_once(agentflow: Harness) -> None:
    hands, run_id = thought(agentflow, call("look", n=1))

    endings = at_once(4, lambda _: hands.do(run_id, 1))

    assert sum(isinstance(ending, Completed) for ending in endings) == 1
    assert (hands.step_row(run_id, 1)["attempt"], len(agentflow.client.steps(run_id))) == (1, 3)


def test_decisions_asked_for_at_one_moment_are_made_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted("done"))
    run_id = hands.submit(clerk, "go")

    at_once(4, lambda _: hands.advance(run_id))

    assert len(agentflow.client.steps(run_id)) == 1


def test_siblings_that_note_other_keys_are_merged(agentflow: Harness) -> None:
    hands, run_id = thought(agentflow, *[call("write", key=key, value=7) for key in NAMES])
    hands.runtime.reached = MeetAt("after_call", 2)

    at_once(2, lambda number: hands.do(run_id, number + 1))

    assert agentflow.client.get(run_id).scratchpad == {"left": 7, "right": 7}


def collide(agentflow: Harness, first: object, second: object) -> tuple[Hands, str, Ending]:
    """Two siblings that change one key: the second records while the first is between its claim and its record."""
    hands, run_id = thought(agentflow, first, second)
    point = "before_record"
    hands.runtime.reached = Interrupted(point, lambda _: hands.do(run_id, 2))
    return hands, run_id, hands.do(run_id, 1)


@pytest.mark.parametrize("value", [1, 2], ids=["the same value", "another value"])
def test_two_siblings_that_change_one_key_are_an_error_of_the_later(agentflow: Harness, value: int) -> None:
    hands, run_id, ending = collide(
        agentflow, call("write", key="total", value=value), call("write", key="total", value=2)
    )

    assert isinstance(ending, Failed)
    assert (ending.kind, ending.happened) == ("scratchpad_conflict", True)
    assert ending.message == "another step changed 'total' of the scratchpad meanwhile; give each step keys of its own"
    assert hands.step_row(run_id, 1)["error"]["output"] == f"{run_id}:1 wrote total"
    assert agentflow.client.get(run_id).scratchpad == {"total": 2}


def test_a_run_goes_on_after_a_scratchpad_conflict_and_the_model_is_told(agentflow: Harness) -> None:
    hands, run_id, _ = collide(agentflow, call("write", key="total", value=1), call("write", key="total", value=2))

    hands.work()

    prompt = hands.value("select prompt from agentflow.llm_calls where step_index = 3")
    assert agentflow.client.get(run_id).status == "done"
    assert '"kind": "scratchpad_conflict"' in prompt[-2]["content"]


def test_a_transactional_tools_writes_roll_back_with_its_conflict(agentflow: Harness) -> None:
    hands, run_id, ending = collide(agentflow, call("enter", key="total", value=1), call("write", key="total", value=2))

    # Its snapshot is the claim's; by the time that it runs behind the run's lock, the other has recorded.
    assert isinstance(ending, Failed)
    assert (ending.kind, ending.happened) == ("scratchpad_conflict", False)
    assert "entered" not in hands.causes()
    assert agentflow.client.get(run_id).scratchpad == {"total": 2}


def test_a_key_that_a_sibling_took_out_is_a_conflict_too(agentflow: Harness) -> None:
    hands = Hands(agentflow, clerk, model=scripted(calls(call("wipe", key="a"), call("write", key="a", value=2)), "x"))
    run_id = hands.begin(clerk, "go")
    hands.sql("""update agentflow.agent_runs set scratchpad = '{"a": 1}'""")
    hands.do(run_id)
    hands.runtime.reached = Interrupted("before_record", lambda _: hands.do(run_id, 1))

    ending = hands.do(run_id, 2)

    assert isinstance(ending, Failed)
    assert (ending.kind, agentflow.client.get(run_id).scratchpad) == ("scratchpad_conflict", {})


def test_steps_one_after_the_other_may_change_one_key(agentflow: Harness) -> None:
    model = scripted(*[call("write", key="total", value=n) for n in range(3)], call("wipe", key="total"), "done")

    run = agentflow.run(clerk, "go", model=model)

    assert (run.status, run.record.scratchpad) == ("done", {})


def test_a_sibling_that_fails_the_run_waits_for_the_others(agentflow: Harness) -> None:
    hands, run_id = thought(agentflow, call("fail"), call("look", n=1))
    claim = hands.claim(run_id, 2)

    hands.do(run_id, 1)
    assert agentflow.client.get(run_id).status == "running"
    hands.record(claim)
    hands.work()

    assert agentflow.client.get(run_id).error["kind"] == "tool_failed"
    assert hands.step_row(run_id, 2)["status"] == "ok"
