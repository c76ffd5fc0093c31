"""Two users of one agent in one process, their steps interleaved: each has messages and a scratchpad of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentflow.store.reads import RunRecord
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.world import Arrival

WORKERS = (WorkerPlan("visitors", ("guests",)), WorkerPlan("models", ("guests",)))
WORDS = {"ann": "apple", "bob": "pear"}


@pytest.fixture(scope="module")
def stayed(running_stack: Stack) -> dict[str, RunRecord]:
    """Both guests' runs. Neither note is finished before both are begun."""
    handles = {
        user: running_stack.client.submit("concierge", f"keep {word}", user=user) for user, word in WORDS.items()
    }
    for handle in handles.values():
        running_stack.world.await_arrival("note", handle.run_id, timeout_s=40)
    for word in reversed(WORDS.values()):
        running_stack.world.open(f"noted-{word}")
    return {user: handle.wait(40) for user, handle in handles.items()}


def test_the_guests_were_served_at_once_by_threads_of_one_process(
    running_stack: Stack, stayed: dict[str, RunRecord]
) -> None:
    notes = running_stack.world.arrivals("note")

    assert {run.status for run in stayed.values()} == {"done"}
    assert len({each["pid"] for each in notes}) == 1
    assert len({each["thread"] for each in notes}) == 2
    assert len(_model_workers(running_stack)) == 1


def test_each_guest_gets_an_answer_to_their_own_words(stayed: dict[str, RunRecord]) -> None:
    assert {user: run.result for user, run in stayed.items()} == {
        user: f"your word was {word}" for user, word in WORDS.items()
    }


@pytest.mark.parametrize("user", WORDS)
def test_no_message_of_one_guest_is_sent_in_the_name_of_the_other(
    folder: Path, stayed: dict[str, RunRecord], user: str
) -> None:
    requests = [json.loads(line) for line in (folder / "model.jsonl").read_text(encoding="utf-8").splitlines()]
    (foreign,) = set(WORDS.values()) - {WORDS[user]}

    own = [each["messages"] for each in requests if each["user"] == user]

    assert len(own) == 3
    assert stayed[user].status == "done"
    assert WORDS[user] in json.dumps(own)
    assert foreign not in json.dumps(own)


@pytest.mark.parametrize("user", WORDS)
def test_each_guest_has_a_scratchpad_of_their_own(
    running_stack: Stack, stayed: dict[str, RunRecord], user: str
) -> None:
    note, recall = _calls(running_stack, user)

    assert (note["before"], recall["before"]) == ({}, {"word": WORDS[user]})
    assert stayed[user].scratchpad == {"word": WORDS[user]}


@pytest.mark.parametrize("user", WORDS)
def test_what_one_guest_leaves_at_a_shared_resource_the_other_does_not_get(
    running_stack: Stack, stayed: dict[str, RunRecord], user: str
) -> None:
    noted = next(step for step in running_stack.client.steps(stayed[user].run_id) if step.tool_name == "note")

    assert noted.output == " ".join([WORDS[user]] * 3)


@pytest.mark.usefixtures("stayed")
def test_a_resource_is_opened_once_for_each_tool_however_many_come_at_once(running_stack: Stack) -> None:
    desks = {tool: {each["desk"] for each in running_stack.world.arrivals(tool)} for tool in ("note", "recall")}

    assert [len(opened) for opened in desks.values()] == [1, 1]
    assert desks["note"] != desks["recall"]


def _calls(stack: Stack, user: str) -> list[Arrival]:
    return [each for each in stack.world.arrivals() if each["guest"] == user]


def _model_workers(stack: Stack) -> set[tuple[str, int]]:
    rows = stack.truth.rows("select worker_id, worker_pid from agentflow.agent_steps where tool_name = 'model'")
    return {(str(row["worker_id"]), row["worker_pid"]) for row in rows}
