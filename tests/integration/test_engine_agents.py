from agentflow import Agent, Context, tool
from agentflow.testing import Harness, call, calls, scripted


@tool(effect="read")
def lookup_order(order_id: str) -> dict[str, object]:
    """Look an order up."""
    return {"order_id": order_id, "total_cents": 1250}


@tool(effect="keyed", key="refund:{order_id}")
def issue_refund(ctx: Context, order_id: str, amount_cents: int) -> str:
    """Refund an order."""
    return f"refunded {amount_cents} under {ctx.idempotency_key}"


@tool(effect="unsafe")
def send_parcel(order_id: str) -> str:
    """Send a parcel."""
    return f"sent {order_id}"


@tool(effect="transactional")
def send_customer_email(ctx: Context, to: str) -> str:
    """Send an e-mail."""
    ctx.outbox.email(to=to, subject="Refund", body="done")
    return "queued"


refunds = Agent(
    "refunds", model="openai:gpt-4o-mini", tools=[lookup_order, issue_refund, send_parcel, send_customer_email]
)

SCRIPT = scripted(
    call("lookup_order", order_id="4421"),
    call("issue_refund", order_id="4421", amount_cents=500),
    call("send_customer_email", to="a@example.com"),
    "all done",
)


def test_an_agent_thinks_and_acts_until_it_has_an_answer(agentflow: Harness) -> None:
    run = agentflow.run(refunds, "please refund 4421", model=SCRIPT)

    assert (run.status, run.result) == ("done", "all done")
    assert [step.tool_name for step in run.steps] == [
        "model",
        "lookup_order",
        "model",
        "issue_refund",
        "model",
        "send_customer_email",
        "model",
    ]
    assert run.effects("issue_refund") == 1
    assert [row["kind"] for row in run.outbox] == ["email"]


def test_a_keyed_tool_that_crashed_after_its_effect_runs_again_under_its_key(agentflow: Harness) -> None:
    run = agentflow.run(refunds, "please refund 4421", model=SCRIPT, crash_after="issue_refund")

    assert run.status == "done"
    assert run.attempts("issue_refund") == 2
    assert run.effects("issue_refund") == 1
    assert run.steps[3].output == "refunded 500 under refund:4421"


def test_a_transactional_tool_that_crashed_leaves_nothing_and_runs_again(agentflow: Harness) -> None:
    run = agentflow.run(refunds, "please refund 4421", model=SCRIPT, crash_after="send_customer_email")

    assert run.status == "done"
    assert len(run.outbox) == 1
    assert run.attempts("send_customer_email") == 2


def test_an_unsafe_tool_that_crashed_is_in_doubt_and_waits_for_a_person(agentflow: Harness) -> None:
    run = agentflow.run(
        refunds, "send 4421", model=scripted(call("send_parcel", order_id="1"), "x"), crash_after="send_parcel"
    )

    assert (run.status, run.record.waiting_reason) == ("waiting_human", "in_doubt")
    assert run.steps[1].status == "in_doubt"
    assert run.effects("send_parcel") == 1


def test_parallel_calls_join_once(agentflow: Harness) -> None:
    model = scripted(calls(*[call("lookup_order", order_id=str(n)) for n in range(8)]), "joined")

    run = agentflow.run(refunds, "look", model=model)

    assert (run.status, run.result) == ("done", "joined")
    assert [step.tool_name for step in run.steps] == ["model", *["lookup_order"] * 8, "model"]
