from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentflow import Agent, Context, Run, RunStatus, tool
from agentflow.store import conversations, runs
from agentflow.store.database import probe_engine
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands


@tool(effect="keyed")
def pay(ctx: Context, n: int) -> str:
    return f"{ctx.idempotency_key} paid {n}"


@tool(effect="unsafe")
def ship() -> str:
    return "sent"


clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="be kind", tools=[pay, ship])


def prompts(hands: Hands, run_id: str) -> list[tuple[str, str | None]]:
    """What the run's last model call was told: role and text of each message."""
    query = "select prompt from agentflow.llm_calls where run_id = %(id)s order by step_index desc limit 1"
    return [(message["role"], message.get("content")) for message in hands.value(query, id=run_id)[1:]]


def read(agentflow: Harness, run_id: str) -> Run:
    found = agentflow.database.atomically(lambda tx: runs.read(tx, run_id))
    assert found is not None
    return found[0]


def until(holds: Callable[[], bool], *, deadline_s: float = 10) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "it never came"


def talk(agentflow: Harness, *answers: Any) -> Hands:
    return Hands(agentflow, clerk, model=scripted(*answers))


def say(hands: Hands, text: str, conversation: str = "c1") -> str:
    return hands.submit(clerk, text, conversation=conversation)


def test_runs_of_a_conversation_go_one_at_a_time_in_the_order_submitted(agentflow: Harness) -> None:
    hands = talk(agentflow, "one", "two", "three")
    first, second, third = (say(hands, text) for text in ("a", "b", "c"))

    for run_id in (third, second, first):
        hands.advance(run_id)

    assert [len(agentflow.client.steps(run_id)) for run_id in (first, second, third)] == [1, 0, 0]
    assert [hands.run_row(each)["waiting_reason"] for each in (second, third)] == ["conversation_turn"] * 2
    hands.work()
    ended = [hands.run_row(run_id)["finished_at"] for run_id in (first, second, third)]
    assert ended == sorted(ended)
    assert [agentflow.client.get(run_id).result for run_id in (first, second, third)] == ["one", "two", "three"]


def test_runs_of_other_conversations_and_of_none_do_not_wait(agentflow: Harness) -> None:
    hands = talk(agentflow, "one")
    say(hands, "a", "c1")

    others = [hands.begin(clerk, "b", conversation="c2"), hands.begin(clerk, "c")]

    assert [len(agentflow.client.steps(each)) for each in others] == [1, 1]


def test_the_next_run_knows_what_was_said_before(agentflow: Harness) -> None:
    hands = talk(agentflow, call("pay", n=1), "paid", "welcome")
    first, second = say(hands, "pay me"), say(hands, "thanks")
    hands.work()

    assert prompts(hands, second) == [
        ("system", "be kind"),
        ("user", "pay me"),
        ("assistant", None),
        ("tool", f"{first}:1 paid 1"),
        ("assistant", "paid"),
        ("user", "thanks"),
    ]


def test_the_turn_is_passed_on_by_the_record_that_ends_the_run(agentflow: Harness) -> None:
    hands = talk(agentflow, "one", "two")
    first, second = say(hands, "a"), say(hands, "b")
    hands.advance(first)
    hands.advance(second)
    hands.drop_hints()

    hands.do(first)

    hint = agentflow.hints.take()
    assert hint is not None
    assert (hint.run_id, hint.step_index) == (second, None)


@pytest.mark.parametrize("reason", ["cancel", "deadline"])
def test_a_run_that_ends_badly_passes_the_turn_on_and_its_open_calls_were_not_executed(
    agentflow: Harness, reason: str
) -> None:
    hands = talk(agentflow, calls(call("pay", n=1), call("pay", n=2)), "welcome")
    first, second = say(hands, "pay me"), say(hands, "hello?")
    hands.advance(first)
    hands.do(first)
    hands.do(first, 1)
    hands.sql("update agentflow.agent_runs set stop_requested = %(r)s where run_id = %(id)s", r=reason, id=first)
    hands.advance(second)
    hands.drop_hints()

    stopped = hands.advance(first)

    assert [hint.run_id for hint in stopped.hints] == [second]
    hands.work()
    assert agentflow.client.get(second).status == "done"
    assert prompts(hands, second)[2:] == [
        ("assistant", None),
        ("tool", f"{first}:1 paid 1"),
        ("tool", "not executed"),
        ("user", "hello?"),
    ]


def test_a_run_that_failed_before_its_first_step_passes_the_turn_on(agentflow: Harness) -> None:
    picky = Agent("picky", model="openai:gpt-4o-mini", prompt=lambda text: text["message"])
    hands = Hands(agentflow, picky, model=scripted("done"))
    first = hands.submit(picky, "no mapping", conversation="c1")
    second = hands.submit(picky, {"message": "hi"}, conversation="c1")
    hands.work()

    assert [agentflow.client.get(each).status for each in (first, second)] == ["failed", "done"]


def test_the_turn_is_held_while_a_person_is_waited_for(agentflow: Harness) -> None:
    hands = talk(agentflow, call("ship"), "sent", "welcome")
    first, second = say(hands, "send it"), say(hands, "well?")
    hands.advance(first)
    hands.do(first)
    claim = hands.claim(first, 1)
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
    hands.work()

    assert hands.run_row(first)["status"] == "waiting_human"
    assert (hands.run_row(second)["status"], hands.run_row(second)["waiting_reason"]) == (
        "pending",
        "conversation_turn",
    )
    hands.record(claim)
    hands.work()
    assert agentflow.client.get(second).status == "done"


def test_a_claim_without_the_turn_is_refused(agentflow: Harness) -> None:
    hands = talk(agentflow, "one", "two")
    first, second = say(hands, "a"), say(hands, "b")
    hands.advance(first)
    hands.sql("update agentflow.conversations set turn_run_id = %(id)s", id=second)

    assert hands.refusal(first) == ("run_stopped", "conversation_turn")


def test_runs_submitted_at_one_moment_all_end_one_after_the_other(agentflow: Harness) -> None:
    hands = talk(agentflow, *[str(n) for n in range(6)])

    with ThreadPoolExecutor(6) as threads:
        run_ids = list(threads.map(lambda n: say(hands, str(n)), range(6)))
        list(threads.map(hands.advance, run_ids))
    hands.work()

    assert {agentflow.client.get(each).status for each in run_ids} == {"done"}
    in_order = sorted(run_ids, key=lambda each: hands.run_row(each)["created_at"])
    assert [agentflow.client.get(each).result for each in in_order] == [str(n) for n in range(6)]


def test_a_run_that_gets_its_turn_while_it_decides_to_wait_does_not_wait(agentflow: Harness) -> None:
    hands = talk(agentflow, "one", "two")
    first, second = say(hands, "a"), say(hands, "b")
    hands.advance(first)
    ending = read(agentflow, first)
    waiting = read(agentflow, second)

    def wait() -> bool:
        return agentflow.database.atomically(lambda tx: conversations.wait_for_turn(tx, waiting))

    with ThreadPoolExecutor(1) as threads:
        with agentflow.database.transaction() as tx:
            runs.lock(tx, first)
            runs.finish(tx, ending, RunStatus.FAILED, "tested")
            conversations.pass_turn(tx, ending)
            waits = threads.submit(wait)
            until(lambda: hands.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == 1)
        assert waits.result() is False
    assert hands.run_row(second)["advance_due_at"] is not None


def test_a_run_whose_submission_committed_later_knows_what_was_said_meanwhile(agentflow: Harness) -> None:
    hands = talk(agentflow, "one", "two")
    with probe_engine(agentflow.client.database.url).connect() as connection:
        slow = agentflow.client.submit("clerk", "began first", conversation="c1", connection=connection).run_id
        quick = say(hands, "committed first")
        hands.work()
        connection.commit()
    hands.work()

    assert agentflow.client.get(quick).result == "one"
    assert prompts(hands, slow) == [
        ("system", "be kind"),
        ("user", "committed first"),
        ("assistant", "one"),
        ("user", "began first"),
    ]


def test_a_conversations_messages_are_stored_once(agentflow: Harness) -> None:
    hands = talk(agentflow, call("pay", n=1), "paid", "welcome", "bye")
    for text in ("a", "b", "c"):
        say(hands, text)
    hands.work()

    bodies = [row["body"] for row in hands.sql("select body from agentflow.messages")]
    said = [(body["role"], body.get("content")) for body in bodies]
    # Four calls, of which the last was told nine messages beside its tools.
    assert (len(said), len(set(said))) == (9, 9)
