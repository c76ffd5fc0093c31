"""What a hint says of its step spares the gate a look, and is not believed beyond."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agentflow import Context, Limits, Pipeline, Rate, tool
from agentflow.broker.messages import about_in, message_of
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.hint import About, Hint
from agentflow.domain.outcome import Completed
from agentflow.engine.executor import execute_step
from agentflow.gate.redis_gate import RedisGate
from agentflow.testing import Harness
from tests.integration.counted import Counted
from tests.integration.hands import Hands, Interrupted
from tests.integration.operated import operations_of

pytest_plugins = ["tests.integration.gate_server"]


def give(ctx: Context, value: str) -> str:
    return f"{ctx.step_index}:{value}"


def line_of(name: str, **declared: Any) -> Pipeline:
    return Pipeline(name, [tool(effect="read", name=f"{name}_tool", **declared)(give)])


plain = line_of("plain")
narrow = line_of("narrow", limits=Limits(slots=1))
cached = line_of("cached", cache=True)
keyed = line_of("keyed", limits=Limits(rates=(Rate(100, 1, key="{value}"),)))


@pytest.fixture
def counted(agentflow: Harness) -> Counted:
    return Counted(agentflow.database)


@pytest.fixture
def hands(agentflow: Harness, counted: Counted, gate: RedisGate) -> Hands:
    made = Hands(agentflow, plain, narrow, cached, keyed)
    made.runtime.database, made.runtime.gate = counted, gate
    return made


def hint_of(hands: Hands, agent: Pipeline) -> Hint:
    """Begin a run, and return the hint of its step."""
    [of_step] = hands.advance(hands.submit(agent, {"value": "v"})).hints
    hands.drop_hints()
    return of_step


def do(hands: Hands, hint: Hint, about: About | None) -> object:
    assert hint.run_id is not None
    assert hint.step_index is not None
    return execute_step(hands.runtime, hint.run_id, hint.step_index, about)


def test_a_new_step_is_not_looked_at(hands: Hands, counted: Counted) -> None:
    hint = hint_of(hands, plain)

    assert hint.about == About("plain", "plain_tool", "plain_tool")
    assert do(hands, hint, hint.about) == Completed("0:v")
    assert counted.sent["look_at_step"] == 0


ANYTHING: Sequence[Any] = [
    pytest.param(plain, None, id="nothing"),
    pytest.param(plain, About("nobody", "plain_tool", "plain_tool"), id="an agent that nobody knows"),
    pytest.param(plain, About("plain", "no_tool", "plain_tool"), id="a tool that nobody knows"),
    pytest.param(plain, About("plain", "model", "plain_tool"), id="a model, of an agent without one"),
    pytest.param(plain, About("plain", "plain_tool", None), id="no bulkhead"),
    pytest.param(cached, About("cached", "cached_tool", "cached_tool"), id="a tool whose answer may be known"),
    pytest.param(keyed, About("keyed", "keyed_tool", "keyed_tool"), id="a rate that depends on the arguments"),
]


@pytest.mark.parametrize(("agent", "about"), ANYTHING)
def test_where_a_hint_does_not_say_enough_the_step_is_looked_at(
    hands: Hands, counted: Counted, agent: Pipeline, about: About | None
) -> None:
    assert do(hands, hint_of(hands, agent), about) == Completed("0:v")

    assert counted.sent["look_at_step"] == 1


def test_a_step_that_is_denied_is_looked_at_and_parked(hands: Hands, counted: Counted, gate: RedisGate) -> None:
    first, second = hint_of(hands, narrow), hint_of(hands, narrow)
    denied: list[object] = []
    hands.runtime.reached = Interrupted("before_call", lambda _: denied.append(do(hands, second, second.about)))

    do(hands, first, first.about)
    hands.work()

    assert denied == [Refused(ClaimAnswer.DENIED, "slots_full")]
    assert counted.sent["park_denied"] >= 1
    assert {hands.harness.client.get(str(each.run_id)).status for each in (first, second)} == {"done"}
    assert [each.in_use for each in gate.states({"narrow_tool": "narrow_tool"})] == [0]


def test_a_step_that_is_done_or_whose_run_is_stopped_is_refused_all_the_same(hands: Hands, gate: RedisGate) -> None:
    done, stopped = hint_of(hands, plain), hint_of(hands, plain)
    do(hands, done, done.about)
    operations_of(hands).cancel(str(stopped.run_id), by="ada")

    answers = [do(hands, hint, hint.about) for hint in (done, stopped)]

    assert [each.answer for each in answers if isinstance(each, Refused)] == [
        ClaimAnswer.DUPLICATE,
        ClaimAnswer.RUN_STOPPED,
    ]
    assert [each.in_use for each in gate.states({"plain_tool": "plain_tool"})] == [0]


@pytest.mark.parametrize("about", [About("a", "t", "b"), About("a", "model", None), None])
def test_what_a_hint_says_goes_in_its_messages_headers(about: About | None) -> None:
    headers = json.loads(message_of(Hint("step.t", "tool.t", "r", 0, about)))["headers"]

    assert about_in(headers) == about


@pytest.mark.parametrize("said", [[], ["a"], ["a", 1, "b"], {"agent": "a"}, "abc", ["a", "t", ["b"]], 7])
def test_headers_that_say_something_else_say_nothing(said: object) -> None:
    assert about_in({"agentflow_about": said}) is None
