"""What a model is shown fits its window: long texts are shortened, and once more where its provider says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentflow import Agent, Budget, tool
from agentflow.domain.errors import ModelError
from agentflow.llm.protocol import ModelRequest
from agentflow.llm.tokens import estimate_tokens
from agentflow.policy.prompt import SHOWN_BYTES
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.outside import standing, tries

WINDOW = 1200
ANSWER = 200


@tool(effect="read")
def read_file(kilobytes: int) -> str:
    return f"begins here {'.' * kilobytes * 1000} ends here"


def reader(**other: Any) -> Agent:
    return Agent(
        "reader",
        model="openai:gpt-4o-mini",
        instructions="Read the files.",
        tools=[read_file],
        settings={"max_tokens": ANSWER},
        budget=Budget(cost_usd=None),
        **other,
    )


def needs(request: ModelRequest) -> int:
    return estimate_tokens(request.messages, request.tools, request.result_schema)


class Seen:
    """A script's answers, each with the request that it was given to."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []

    def then(self, answer: Any) -> Any:
        def give(request: ModelRequest) -> Any:
            self.requests.append(request)
            return answer

        return give


def test_a_long_output_is_shortened_for_the_model_and_stored_whole(agentflow: Harness) -> None:
    seen = Seen()

    found = agentflow.run(
        reader(context_tokens=WINDOW), "go", model=scripted(call("read_file", kilobytes=12), seen.then("read"))
    )

    [request] = seen.requests
    shown = request.messages[-1]["content"] or ""
    assert found.status == "done"
    assert needs(request) <= WINDOW - ANSWER
    assert shown.startswith("begins here")
    assert shown.endswith("ends here")
    assert "[shortened: " in shown
    assert len(found.steps[1].output) == len(read_file(12))


def test_the_longest_output_is_cut_first(agentflow: Harness) -> None:
    seen = Seen()
    both = calls(call("read_file", kilobytes=1), call("read_file", kilobytes=10))

    agentflow.run(reader(context_tokens=WINDOW), "go", model=scripted(both, seen.then("read")))

    short, long = (message["content"] or "" for message in seen.requests[0].messages[-2:])
    assert short == read_file(1)
    assert "[shortened: " in long


class Tireless:
    """A model that reads a file, and another, as often as it is told to; what it is shown may have been shortened."""

    def __init__(self, files: int) -> None:
        self.requests: list[ModelRequest] = []
        self._left = files

    def complete(self, request: ModelRequest) -> Any:
        self.requests.append(request)
        self._left -= 1
        answer = call("read_file", kilobytes=1 + self._left) if self._left >= 0 else "read all"
        return scripted(*[answer] * 99).complete(request)


def test_no_call_is_left_without_its_answer_however_long_the_run_is(agentflow: Harness) -> None:
    tireless = Tireless(12)

    found = agentflow.run(reader(context_tokens=WINDOW), "go", model=tireless)

    assert (found.result, len(tireless.requests), len(found.steps)) == ("read all", 13, 25)
    for request in tireless.requests:
        assert needs(request) <= WINDOW - ANSWER
        asked = [each["id"] for message in request.messages for each in message.get("tool_calls", ())]
        assert asked == [message["tool_call_id"] for message in request.messages if message["role"] == "tool"]
        assert [request.messages[0]["role"], request.messages[1]["content"]] == ["system", "go"]


def test_a_thread_of_forty_thousand_tokens_is_shortened_at_both_ends_kept(agentflow: Harness) -> None:
    seen = Seen()
    thread = f"Dear shop, {'as I wrote before, ' * 8000} yours"

    found = agentflow.run(reader(context_tokens=2000), thread, model=scripted(seen.then("answered")))

    shown = seen.requests[0].messages[-1]["content"] or ""
    assert (found.status, found.result) == ("done", "answered")
    assert needs(seen.requests[0]) <= 2000 - ANSWER
    assert (shown[:10], shown[-5:]) == ("Dear shop,", "yours")


def test_what_fits_is_shown_as_it_is(agentflow: Harness) -> None:
    seen = Seen()

    agentflow.run(reader(), "go", model=scripted(call("read_file", kilobytes=12), seen.then("read")))

    assert seen.requests[0].messages[-1]["content"] == read_file(12)


def test_an_output_is_shown_up_to_its_limit_however_large_the_window_is(agentflow: Harness) -> None:
    seen = Seen()

    agentflow.run(reader(), "go", model=scripted(call("read_file", kilobytes=40), seen.then("read")))

    shown = seen.requests[0].messages[-1]["content"] or ""
    assert SHOWN_BYTES < len(shown) < SHOWN_BYTES + 100


class Small:
    """A model whose window is smaller than anybody knows; it answers what its script says otherwise."""

    def __init__(self, window: int, *answers: Any) -> None:
        self.window = window
        self.sizes: list[int] = []
        self._script = scripted(*answers)

    def complete(self, request: ModelRequest) -> Any:
        self.sizes.append(needs(request))
        if self.sizes[-1] > self.window:
            raise ModelError("too long", kind="context_overflow", status=400)
        return self._script.complete(request)


def overflowing(agentflow: Harness, window: int) -> tuple[Hands, str, Small]:
    small = Small(window, call("read_file", kilobytes=12), "read")
    hands = Hands(agentflow, reader(), model=small)
    run_id = hands.begin(reader(), "go")
    for index in (0, 1):
        hands.do(run_id, index)
    return hands, run_id, small


def test_a_window_that_its_provider_calls_full_is_used_half_in_one_more_try(agentflow: Harness) -> None:
    hands, run_id, small = overflowing(agentflow, 3000)

    hands.do(run_id, 2)

    assert standing(hands, run_id) == ("waiting_tool", "retry_context_overflow")
    assert hands.value("select next_attempt_at <= clock_timestamp() from agentflow.agent_steps where step_index = 2")
    hands.work()
    run = agentflow.client.get(run_id)
    assert (run.status, run.result, tries(hands, run_id, 2)) == ("done", "read", ["retried", "ok"])
    _, too_long, shorter = small.sizes
    assert too_long > 3000
    assert shorter <= too_long / 2


def test_a_window_that_is_full_even_so_fails_the_step(agentflow: Harness) -> None:
    hands, run_id, small = overflowing(agentflow, 300)

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], tries(hands, run_id, 2)) == ("failed", "model_failed", ["retried", "error"])
    assert "too long" in run.error["message"]
    assert len(small.sizes) == 3


def test_an_overflow_costs_nothing(agentflow: Harness) -> None:
    hands, run_id, _ = overflowing(agentflow, 300)
    before = agentflow.client.get(run_id).tokens

    hands.work()

    assert agentflow.client.get(run_id).tokens == before
    assert hands.run_row(run_id)["reserved_tokens"] == 0


def test_a_shortened_prompt_is_the_one_that_is_logged(agentflow: Harness) -> None:
    seen = Seen()
    agentflow.run(
        reader(context_tokens=WINDOW), "go", model=scripted(call("read_file", kilobytes=12), seen.then("read"))
    )
    hands = Hands(agentflow, reader())

    stored = [json.dumps(row["body"]) for row in hands.sql("select body from agentflow.messages")]

    assert any("[shortened: " in body for body in stored)
    assert max(len(body) for body in stored) < 6000


@pytest.mark.parametrize("context_tokens", [256, 600])
def test_a_window_that_holds_hardly_anything_still_gets_a_question(agentflow: Harness, context_tokens: int) -> None:
    seen = Seen()

    found = agentflow.run(reader(context_tokens=context_tokens), "go " * 2000, model=scripted(seen.then("what?")))

    assert found.status == "done"
    assert [message["role"] for message in seen.requests[0].messages] == ["system", "user"]
