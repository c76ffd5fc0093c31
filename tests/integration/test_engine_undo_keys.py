"""Business keys of what is undone: held meanwhile, closed afterwards, and used anew in another generation."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow import Agent, Context, Pipeline, tool
from agentflow.domain.outcome import Failed
from agentflow.engine.operating.forking import Fork, fork
from agentflow.engine.operating.order import Order as Word
from agentflow.store import runs
from agentflow.testing import Harness, call, scripted
from tests.integration.deeds import (
    GIVEN,
    LOG,
    AnyTool,
    a_deed,
    begun,
    failing,
    keys,
    look,
    once,
    raising,
    undone,
    worked,
)
from tests.integration.hands import Hands
from tests.integration.order_shop import Order, OrderShop, cancel_order, send
from tests.integration.outside import Endpoint

pytest_plugins = ["tests.integration.outside_server"]


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    LOG.clear()
    GIVEN.clear()


def the_order(**declared: Any) -> AnyTool:
    """The making of an order whose number is its business key."""
    return a_deed("order", key="order-{n}", **declared)


def pair(deed: AnyTool) -> tuple[Pipeline, Pipeline]:
    """Two agents of one tool: one that fails after it and undoes it, one that is done with it."""
    return failing(deed), Pipeline("keeping", [deed])


ordering, keeping = pair(the_order())
N = {"n": 7}
MODEL = "openai:gpt-4o-mini"


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, ordering, keeping)


def test_while_it_is_undone_a_key_holds_others_and_is_no_answer_for_them(hands: Hands) -> None:
    first = begun(hands, ordering, steps=2, input=N)
    second = begun(hands, keeping, input=N)

    assert keys(hands) == [("order-7", 1, "compensating")]
    assert hands.refusal(second) == ("key_in_flight", first)
    assert hands.step_row(second)["waiting_reason"] == "key_in_flight"


def test_once_it_is_undone_who_waits_for_the_key_is_woken_and_uses_it_anew(hands: Hands) -> None:
    first = begun(hands, ordering, steps=2, input=N)
    second = begun(hands, keeping, input=N)
    hands.refusal(second)
    hands.drop_hints()
    hands.do(first, 2)

    hint = hands.harness.hints.take()
    assert hint is not None
    assert (hint.run_id, hint.step_index) == (second, 0)
    hands.harness.obey(hands.runtime, hint)
    assert look(hands, second).result == {"made": "order", "key": "order-7#2"}
    assert keys(hands) == [("order-7", 1, "compensated"), ("order-7", 2, "done")]


def test_each_use_of_a_key_after_an_undoing_is_a_generation_of_its_own(hands: Hands) -> None:
    first, second, third = (worked(hands, ordering, N) for _ in range(3))

    sent = [given["subject_key"] for given in GIVEN]
    assert sent == ["order-7", "order-7#2", "order-7#3"]
    assert [run.record.compensation for run in (first, second, third)] == ["done"] * 3
    assert keys(hands) == [("order-7", generation, "compensated") for generation in (1, 2, 3)]
    assert [given["made"]["key"] for given in GIVEN] == sent


def test_an_answer_of_a_later_generation_is_given_to_others_as_any(hands: Hands) -> None:
    worked(hands, ordering, N)
    made, told = worked(hands, keeping, N), worked(hands, keeping, N)

    assert made.result == told.result == {"made": "order", "key": "order-7#2"}
    assert (told.steps[0].attempt, LOG.count("order")) == (0, 2)


def test_after_an_undoing_a_key_may_be_used_with_other_arguments(agentflow: Harness) -> None:
    @tool(effect="keyed", key="seat-{seat}")
    def reserve(ctx: Context, seat: str, row: int) -> str:
        return ctx.idempotency_key

    @reserve.compensate(effect="idempotent")
    def release(made: str) -> None:
        GIVEN.append({"made": made})

    reserving, keeping = pair(reserve)
    hands = Hands(agentflow, reserving, keeping)
    worked(hands, reserving, {"seat": "A", "row": 1})

    assert worked(hands, keeping, {"seat": "A", "row": 2}).result == "seat-A#2"


def test_a_later_attempt_keeps_the_generation_of_its_key(hands: Hands) -> None:
    worked(hands, ordering, N)
    run_id = begun(hands, keeping, input=N)
    hands.lose(hands.claim(run_id))

    assert hands.claim(run_id).step.sent_key == "order-7#2"
    assert keys(hands)[1:] == [("order-7", 2, "in_flight")]


def test_a_generation_under_which_nothing_happened_is_used_again(hands: Hands) -> None:
    worked(hands, ordering, N)
    run_id = begun(hands, keeping, input=N)
    hands.record(hands.claim(run_id), Failed("tool_error", "no", happened=False))

    assert worked(hands, keeping, N).result["key"] == "order-7#2"


@tool(effect="keyed", key="{item}", timeout_s=5)
def buy(ctx: Context, url: str, item: str) -> Order:
    return Order.model_validate(send(ctx, f"{url}/orders", {"item": item}))


@buy.compensate
def take_back(ctx: Context, made: Order, url: str) -> None:
    cancel_order(ctx, made, url)


@tool(effect="keyed", timeout_s=5)
def pay(ctx: Context, url: str, buy: Order) -> str:
    return str(send(ctx, f"{url}/charges", {"order": buy.number}))


buying = Pipeline("buying", [buy, pay])


def test_the_shop_is_never_asked_for_a_cancelled_order_again(agentflow: Harness, endpoint: Endpoint) -> None:
    shop = OrderShop(endpoint)
    hands = Hands(agentflow, buying, keeping := Pipeline("keeping", [buy]))
    bought = {"url": shop.url, "item": "chair"}

    cancelled, kept = worked(hands, buying, bought), worked(hands, keeping, bought)

    assert (cancelled.record.compensation, kept.status) == ("done", "done")
    assert shop.log == [
        "ordered o-1 under chair",
        "refused the card",
        "cancelled o-1 of chair",
        "ordered o-3 under chair#2",
    ]
    assert kept.result == {"number": "o-3"}


def test_an_undoing_that_failed_holds_the_key_until_it_is_tried_again(agentflow: Harness) -> None:
    ordering, keeping = pair(the_order(undoes=once(raising(happened=False))))
    hands = Hands(agentflow, ordering, keeping)
    first, second = worked(hands, ordering, N), begun(hands, keeping, input=N)

    assert (first.record.compensation, keys(hands)) == ("failed", [("order-7", 1, "in_doubt")])
    assert hands.refusal(second) == ("key_in_flight", first.run_id)

    agentflow.client.operations.retry(first.run_id, by="ada")
    hands.work()
    assert look(hands, first.run_id).record.compensation == "done"
    assert look(hands, second).result["key"] == "order-7#2"


def test_an_undoing_in_doubt_holds_the_key(agentflow: Harness) -> None:
    ordering, keeping = pair(the_order(undo="unsafe", undoes=raising()))
    hands = Hands(agentflow, ordering, keeping)
    first, second = worked(hands, ordering, N), begun(hands, keeping, input=N)

    assert (first.status, keys(hands)) == ("waiting_human", [("order-7", 1, "compensating")])
    assert hands.refusal(second) == ("key_in_flight", first.run_id)

    agentflow.client.operations.resolve(first.run_id, "happened", by="ada")
    hands.work()
    assert look(hands, second).result["key"] == "order-7#2"


def test_an_answer_that_another_run_had_is_left_to_that_run(hands: Hands) -> None:
    owner = worked(hands, keeping, N)

    run = worked(hands, ordering, N)

    assert (run.steps[0].output, run.record.compensation, undone(run)) == (owner.result, None, [])
    assert (LOG, keys(hands)) == (["order"], [("order-7", 1, "done")])


def test_an_answer_that_another_step_of_the_run_had_is_undone_once(agentflow: Harness) -> None:
    agent = Agent("clerk", model=MODEL, tools=[the_order(), fail_it], on_failure="compensate")
    model = scripted(call("order", n=7), call("order", n=7), call("fail_it"))

    run = worked(Hands(agentflow, agent, model=model), agent, "go")

    assert [step.attempt for step in run.steps if step.tool_name == "order"] == [1, 0]
    assert (undone(run), LOG) == ([1], ["order", "undo order"])


def test_a_cached_answer_is_undone_by_nobody(agentflow: Harness) -> None:
    @tool(effect="read", cache=True)
    def rate(n: int = 1) -> int:
        return n

    agent = Agent("clerk", model=MODEL, tools=[rate, the_order(), fail_it], on_failure="compensate")
    model = scripted(call("rate", n=1), call("rate", n=1), call("order", n=7), call("fail_it"))

    run = worked(Hands(agentflow, agent, model=model), agent, "go")

    assert [step.attempt for step in run.steps if step.tool_name == "rate"] == [1, 0]
    assert (undone(run), LOG) == ([5], ["order", "undo order"])


@tool(effect="read", on_error="fail")
def fail_it() -> None:
    """Fail."""
    raising(happened=False)(None)  # type: ignore[arg-type]


def test_what_a_fork_has_copied_is_left_to_the_run_that_did_it(agentflow: Harness) -> None:
    agent = failing(a_deed("order"), a_deed("pack"), on_failure="compensate")
    hands = Hands(agentflow, agent)
    run_id = begun(hands, agent, steps=1)
    fork_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    hands.harness.database.atomically(lambda tx: fork(tx, run_id, Word.of("default", "ada"), fork_id, Fork(1)))
    hands.harness.database.atomically(lambda tx: runs.request_stop(tx, run_id, "cancel"))

    hands.advance(fork_id)
    hands.work()

    assert (undone(look(hands, fork_id)), LOG) == ([1], ["order", "pack", "undo pack"])


MAY_HAVE = Failed("bug", "it broke off")


def a_maybe(hands: Hands, agent: Any) -> str:
    """A run whose order may have been made, and that has not begun to undo it; its key is free."""
    run_id = begun(hands, agent, input=N)
    hands.record(hands.claim(run_id), MAY_HAVE)
    return run_id


def test_the_key_of_what_may_have_happened_is_held_and_closed_too_where_it_is_undone(hands: Hands) -> None:
    first, second = a_maybe(hands, ordering), begun(hands, keeping, input=N)
    hands.advance(first)

    assert hands.refusal(second) == ("key_in_flight", first)
    hands.work()

    assert (undone(look(hands, first)), GIVEN[0]["subject_key"]) == ([0], "order-7")
    assert look(hands, second).result["key"] == "order-7#2"


def test_the_generation_of_what_may_have_happened_is_what_its_undoing_is_told(agentflow: Harness) -> None:
    broken = once(raising())
    agent = failing(the_order(does=lambda ctx: broken(ctx) if "#2" in ctx.idempotency_key else None))
    hands = Hands(agentflow, agent)

    first, second = worked(hands, agent, N), worked(hands, agent, N)

    assert (first.record.compensation, second.record.compensation) == ("done", "done")
    assert [given["subject_key"] for given in GIVEN] == ["order-7", "order-7#2"]
    assert keys(hands) == [("order-7", 1, "compensated"), ("order-7", 2, "compensated")]


def test_the_key_of_an_attempt_that_was_lost_and_skipped_is_closed_where_it_is_undone(hands: Hands) -> None:
    run_id = begun(hands, ordering, input=N)
    hands.lose(hands.claim(run_id))
    hands.harness.database.atomically(lambda tx: runs.request_stop(tx, run_id, "deadline"))
    hands.advance(run_id)

    assert keys(hands) == [("order-7", 1, "compensating")]
    hands.work()

    assert (look(hands, run_id).steps[0].status, undone(look(hands, run_id))) == ("skipped", [0])
    assert keys(hands) == [("order-7", 1, "compensated")]


def test_what_may_have_happened_is_left_to_the_run_that_has_made_sure_of_it_since(hands: Hands) -> None:
    first = a_maybe(hands, ordering)
    second = look(hands, begun(hands, keeping, steps=1, input=N))
    hands.work()

    run = look(hands, first)
    assert second.result["key"] == "order-7"
    assert ([step.status for step in run.steps], LOG) == (["error", "skipped"], ["order"])
    assert run.steps[1].error == {
        "kind": "not_own",
        "message": f"what 'order' did (step 0) belongs to step 0 of run {second.run_id}, by its key",
        "happened": False,
    }
    assert (run.status, run.record.compensation, keys(hands)) == ("failed", "done", [("order-7", 1, "done")])


def test_what_belongs_to_another_run_is_passed_over_and_the_older_effects_are_undone(agentflow: Harness) -> None:
    deed = the_order()
    agent, keeping = failing(a_deed("pack"), deed), Pipeline("keeping", [deed])
    hands = Hands(agentflow, agent, keeping)
    run_id = begun(hands, agent, steps=1, input=N)
    hands.record(hands.claim(run_id, 1), MAY_HAVE)
    begun(hands, keeping, steps=1, input=N)
    hands.work()

    assert undone(look(hands, run_id)) == [1, 0]
    assert LOG == ["pack", "order", "undo pack"]


def test_a_retried_step_that_another_run_has_answered_meanwhile_is_left_to_that_run(agentflow: Harness) -> None:
    agent, keeping = pair(the_order())
    hands = Hands(agentflow, agent, keeping)
    run_id = begun(hands, agent, input=N)
    hands.record(hands.claim(run_id), Failed("tool_error", "no", happened=False))
    hands.advance(run_id)
    owner = worked(hands, keeping, N)
    agentflow.client.operations.retry(run_id, by="ada")
    hands.work()

    run = look(hands, run_id)
    assert (run.steps[0].attempt, run.steps[0].output) == (1, owner.result)
    assert (run.status, LOG, keys(hands)) == ("failed", ["order"], [("order-7", 1, "done")])
