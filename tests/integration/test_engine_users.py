from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentflow import Agent, Context, resource, tool
from agentflow.testing import Harness, call, scripted
from tests.integration.hands import Hands

OPENED: list[str] = []


@pytest.fixture(autouse=True)
def nothing_opened() -> None:
    OPENED.clear()


@resource
def ledger() -> Iterator[list[str]]:
    OPENED.append(threading.current_thread().name)
    yield []
    OPENED.append("closed")


@tool(effect="keyed")
def note(ctx: Context, word: str) -> str:
    earlier = list(ctx.scratchpad)
    ctx.scratchpad[word] = ctx.idempotency_key
    return f"{ctx.run.user_id} noted {word} after {earlier}"


@tool(effect="read")
def look(ctx: Context, word: str) -> int:
    ctx.use(ledger).append(word)
    return len(ctx.use(ledger))


@tool(effect="read")
def search(ctx: Context) -> int:
    return len(ctx.use(ledger))


clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="be kind", tools=[note, look, search])


class Overheard:
    """A model that repeats its customer's word, and keeps every prompt."""

    def __init__(self) -> None:
        self.prompts: dict[str, list[str]] = {}

    def __call__(self, request: Any) -> Any:
        said = [message["content"] or "" for message in request.messages[1:]]
        self.prompts.setdefault(request.user, []).append(" ".join(said))
        thoughts = sum(message["role"] == "assistant" for message in request.messages)
        return call("note", word=f"{said[0]}{thoughts}") if thoughts < 2 else f"done for {request.user}"


def begin(agentflow: Harness, users: list[str]) -> tuple[Hands, Overheard, list[str]]:
    overheard = Overheard()
    hands = Hands(agentflow, clerk, model=scripted(overheard, overheard, overheard))
    return hands, overheard, [hands.submit(clerk, f"word-of-{user}-", user=user) for user in users]


def check(agentflow: Harness, overheard: Overheard, users: list[str], run_ids: list[str]) -> None:
    for user, run_id in zip(users, run_ids, strict=True):
        run = agentflow.client.get(run_id)
        assert (run.result, list(run.scratchpad)) == (
            f"done for {user}",
            [f"word-of-{user}-0", f"word-of-{user}-1"],
        )
        others = [other for other in users if other != user]
        told = " ".join(overheard.prompts[user])
        assert not any(f"word-of-{other}-" in told or f"{other} noted" in told for other in others)


def test_two_users_of_one_agent_step_by_step_in_turn_share_nothing(agentflow: Harness) -> None:
    users = ["ann", "bob"]
    hands, overheard, run_ids = begin(agentflow, users)
    for run_id in run_ids:
        hands.advance(run_id)

    for step_index in range(5):
        for run_id in run_ids:
            hands.do(run_id, step_index)

    check(agentflow, overheard, users, run_ids)


def test_many_users_of_one_agent_in_threads_of_one_process_share_nothing(agentflow: Harness) -> None:
    users = [f"user{n}x" for n in range(8)]
    hands, overheard, run_ids = begin(agentflow, users)

    def go(run_id: str) -> None:
        hands.advance(run_id)
        for step_index in range(5):
            hands.do(run_id, step_index)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(go, run_ids))

    check(agentflow, overheard, users, run_ids)


def test_a_resource_is_opened_once_per_process_and_bulkhead(agentflow: Harness) -> None:
    model = scripted(call("look", word="a"), call("look", word="b"), call("search"), "done")
    runtime = agentflow.runtime(clerk, model=model)
    for _ in range(2):
        agentflow.client.submit("clerk", "go")

    agentflow.work(runtime)

    assert len(OPENED) == 2
    outputs = [step.output for run in agentflow.client.list() for step in agentflow.client.steps(run.run_id)]
    assert sorted(each for each in outputs if isinstance(each, int)) == [0, 0, 1, 2, 3, 4]


def test_a_context_belongs_to_its_step(agentflow: Harness) -> None:
    seen: list[Context] = []

    @tool(effect="keyed")
    def keep(ctx: Context) -> str:
        seen.append(ctx)
        return ctx.idempotency_key

    keeper = Agent("keeper", model="openai:gpt-4o-mini", tools=[keep])
    run = agentflow.run(keeper, "go", model=scripted(call("keep"), call("keep"), "done"), user="ann")

    assert [(ctx.run.run_id, ctx.run.user_id, ctx.step_index, ctx.attempt) for ctx in seen] == [
        (run.run_id, "ann", 1, 1),
        (run.run_id, "ann", 3, 1),
    ]
    assert seen[0].scratchpad is not seen[1].scratchpad
    assert seen[0].outbox is not seen[1].outbox
