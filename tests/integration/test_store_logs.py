from __future__ import annotations

import hashlib

import pytest

from agentflow import Agent, Context, ToolError, tool
from agentflow.store.alerts import raise_alert
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.hands import Hands


@tool(effect="keyed")
def pay(ctx: Context, n: int) -> str:
    if n < 0:
        raise ToolError(f"{ctx.idempotency_key} cannot pay {n}", happened=False)
    return f"paid {n}"


clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="be kind", tools=[pay])
SCRIPT = scripted(calls(call("pay", n=1), call("pay", n=-1), ids=("a", "b")), call("pay", n=2), "done")

TOOL_CALLS = "select * from agentflow.tool_calls order by step_index, attempt"
LLM_CALLS = "select * from agentflow.llm_calls order by step_index, attempt"


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, clerk, model=SCRIPT)


def test_the_view_of_tool_calls_tells_each_attempt_with_all_that_is_known_of_it(hands: Hands) -> None:
    run = hands.harness.run(clerk, "pay", model=SCRIPT, crash_after="pay")

    rows = hands.sql(TOOL_CALLS)

    told = [(row["step_index"], row["attempt"], row["status"], row["output"]) for row in rows]
    assert told == [(1, 1, "lost", None), (1, 2, "ok", "paid 1"), (2, 1, "error", None), (4, 1, "ok", "paid 2")]
    first, second, third, _ = rows
    assert (second["tool"], second["input"], second["idempotency_key"]) == ("pay", {"n": 1}, f"{run.run_id}:1")
    assert first["error"] == {"kind": "lost", "message": "its process died", "happened": None}
    assert third["error"]["message"] == f"{run.run_id}:2 cannot pay -1"
    assert second["latency_ms"] > 0


def test_the_view_of_model_calls_tells_the_whole_prompt_and_the_answer(hands: Hands) -> None:
    run_id = hands.submit(clerk, "pay")
    hands.work()

    first, second, third = hands.sql(LLM_CALLS)

    assert [message["role"] for message in first["prompt"]] == ["tools", "system", "user"]
    assert [message["role"] for message in third["prompt"]] == [
        "tools", "system", "user", "assistant", "tool", "tool", "assistant", "tool",
    ]  # fmt: skip
    assert first["prompt"][0]["tools"][0]["parameters"]["properties"] == {"n": {"type": "integer"}}
    assert [each["id"] for each in first["tool_calls"]] == ["a", "b"]
    assert (third["response"], third["tool_calls"], third["finish_reason"]) == (
        {"role": "assistant", "content": "done"}, None, "stop",
    )  # fmt: skip
    assert (second["model"], second["response_model"], str(second["run_id"])) == (
        "openai:gpt-4o-mini", "gpt-4o-mini", run_id,
    )  # fmt: skip


def test_the_call_log_sums_up_to_what_was_spent(hands: Hands) -> None:
    run_id = hands.submit(clerk, "pay")
    hands.work()

    logged = hands.sql(
        "select sum(prompt_tokens + completion_tokens) as tokens, sum(cost) as cost from agentflow.llm_calls"
    )

    run = hands.harness.client.get(run_id)
    assert (logged[0]["tokens"], logged[0]["cost"]) == (run.tokens, run.cost_usd)
    assert (run.attempts, run.tool_calls) == (6, 3)
    assert run.cost_usd > 0


def test_two_calls_with_a_shared_prefix_store_only_what_is_new(hands: Hands) -> None:
    hands.begin(clerk, "pay")
    counted = []
    for run_id in (hands.begin(clerk, "pay"), hands.begin(clerk, "pay"), hands.begin(clerk, "another")):
        hands.do(run_id)
        counted.append(hands.value("select count(*) from agentflow.messages"))

    # Tools, instructions and the message; the same again; only another message.
    assert counted == [3, 3, 4]


def test_a_stored_message_knows_what_leads_to_it(hands: Hands) -> None:
    hands.do(hands.begin(clerk, "pay"))

    rows = hands.sql("select hash, parent, body from agentflow.messages")

    parents = {bytes(row["hash"]): row["parent"] and bytes(row["parent"]) for row in rows}
    assert sum(parent is None for parent in parents.values()) == 1
    assert all(parent in parents for parent in parents.values() if parent)
    assert all(len(each) == hashlib.sha256().digest_size for each in parents)


def test_an_alert_of_one_cause_is_counted(agentflow: Harness) -> None:
    for text in ("first", "second\x00\ud800"):
        agentflow.database.atomically(lambda tx, text=text: raise_alert(tx, "default", "cause", text))  # type: ignore[misc]

    [alert] = agentflow.client.alerts()
    assert (alert["count"], alert["message"]) == (2, "second��")
