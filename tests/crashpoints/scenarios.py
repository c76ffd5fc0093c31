"""The scenarios: what a victim does, and how a run is brought there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentflow.client import Client
from agentflow.domain.errors import InterventionRefused
from agentflow.domain.identity import Worker as Identity
from agentflow.domain.identity import new_token
from agentflow.engine.claiming import Claimed, claim_step
from agentflow.engine.executor import advance, execute_step
from agentflow.engine.relay_batch import Batch
from agentflow.engine.relaying import relay_kind
from agentflow.engine.runtime import Runtime
from tests.crashpoints.hand import Hand
from tests.crashpoints.worker import Worker
from tests.integration.lost_answers import LostAnswers

# More than any scenario has.
_MOST_STEPS = 10

Prepare = Callable[[Hand, str], Any]
# Told the worker and what was prepared, it opens what a process has kept open, and returns what is to be done.
Act = Callable[[Worker, Any], Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One act of a victim's.

    `again` is what whoever asked for it does when no answer came. `is_alone` says that the act concerns everything in
    its database, so that no two cases share one. `loses_answer` says that a call of its preparation is in doubt when
    the victim begins. `doubt` says when the case must come to a doubt that a person ends: never, or where the call
    could have begun (`call`), or where a letter was handed over (`letter`). `commits` are the numbers of those that
    claim and record that call.
    """

    name: str
    prepare: Prepare
    act: Act
    again: Act | None = None
    is_alone: bool = False
    loses_answer: bool = False
    doubt: str = ""
    commits: tuple[int, int] = (1, 2)


def _begun(agent: str, hand: Hand, item: str, **given: Any) -> str:
    return hand.begin(agent, item, **given)


def _done(agent: str, upto: int, hand: Hand, item: str, **given: Any) -> str:
    run_id = hand.begin(agent, item, **given)
    for index in range(upto):
        hand.do(run_id, index)
    hand.wait_until_due(run_id, upto)
    return run_id


def _execute(step_index: int, worker: Worker, run_id: str, *, steps: int = 1) -> Callable[[], Any]:
    """A step; or that and the next ones, where the process may take so many."""
    return partial(execute_step, _ready(worker, steps), run_id, step_index)


def _ready(worker: Worker, steps: int) -> Runtime:
    worker.warm()
    worker.runtime.continue_steps = steps
    return worker.runtime


def _continue(worker: Worker, run_id: str) -> Callable[[], Any]:
    return _execute(0, worker, run_id, steps=_MOST_STEPS)


def _continue_unheard(worker: Worker, run_id: str) -> Callable[[], Any]:
    """The same; the commit that records the first step and claims the next is not answered."""
    LostAnswers(worker.runtime.database).lose_next(after=1)
    return _continue(worker, run_id)


def _think_on(step_index: int, worker: Worker, run_id: str) -> Callable[[], Any]:
    worker.warm_model("openai:gpt-4o-mini")
    return _execute(step_index, worker, run_id, steps=_MOST_STEPS)


def _think(step_index: int, worker: Worker, run_id: str) -> Callable[[], Any]:
    worker.warm_model("openai:gpt-4o-mini")
    return _execute(step_index, worker, run_id)


def _advance(worker: Worker, run_id: str, *, steps: int = 1) -> Callable[[], Any]:
    return partial(advance, _ready(worker, steps), run_id)


def _start(worker: Worker, run_id: str) -> Callable[[], Any]:
    return _advance(worker, run_id, steps=_MOST_STEPS)


def _submit(worker: Worker, given: Mapping[str, Any]) -> Callable[[], Any]:
    client = worker.client()
    return lambda: client.submit("reading", given, idempotency_key=given["item"]).run_id


def _given(hand: Hand, item: str) -> Mapping[str, Any]:
    return {"url": hand.url, "item": item}


def _approved(hand: Hand, item: str) -> str:
    run_id = hand.begin("giving", item)
    _approve(hand.client, run_id)
    hand.wait_until_due(run_id, 0)
    return run_id


def _approve(client: Client, run_id: str) -> None:
    [asked] = client.approvals.list(run_id=run_id, status=None)
    client.approvals.approve(str(asked["approval_id"]), by="ann")


def _cancel(client: Client, run_id: str) -> None:
    client.operations.cancel(run_id, by="ann")


def _ask(order: Callable[[Client, str], None], worker: Worker, run_id: str) -> Callable[[], Any]:
    client = worker.client()
    return lambda: order(client, run_id)


def _ask_again(order: Callable[[Client, str], None], worker: Worker, run_id: str) -> Callable[[], Any]:
    """Give an order that may have been carried out already: then it is refused."""
    client = worker.client()

    def ask() -> None:
        with suppress(InterventionRefused):
            order(client, run_id)

    return ask


def _conversing(plan: list[Any], upto: int, hand: Hand, item: str) -> str:
    message = json.dumps({"plan": plan}).replace("URL", hand.url).replace("ITEM", item)
    run_id = hand.advance(hand.client.submit("thinking", message).run_id)
    for index in range(upto):
        hand.do(run_id, index)
    return run_id


def _known(hand: Hand, item: str) -> str:
    _done("reserving", 1, hand, item)
    return hand.begin("reserving", item)


def _relay(kind: str, worker: Worker, _: str) -> Callable[[], Any]:
    worker.warm()
    return partial(relay_kind, worker.runtime, kind)


def _queued(agent: str, hand: Hand, item: str) -> str:
    run_id = hand.begin(agent, item)
    hand.do(run_id, 0)
    return run_id


def _losses(hand: Hand, item: str) -> list[str]:
    """A step whose lease is over, one that nobody was told of, a run past its deadline, and two lost letters."""
    lost, untold, late = hand.begin("reserving", item), hand.begin("reading", item), hand.begin("entering", item)
    lettering = _queued("lettering", hand, item)
    hand.do(late, 0)
    assert isinstance(claim_step(hand.runtime, lost, 0, new_token()), Claimed)
    batch = Batch.claim(hand.runtime, (hand.runtime.deliveries or {})["email"])
    assert len(batch.rest) == 2
    # All of it long ago, so that each sweep finds the same; the claims are this process's, which is about to end.
    past = "clock_timestamp() - interval '1 minute'"
    hand.sql(f"update agentflow.agent_steps set hinted_at = {past} where status = 'pending'")
    hand.sql("update agentflow.agent_steps set hinted_at = null where run_id = %(run_id)s", run_id=untold)
    hand.sql(f"update agentflow.agent_steps set lease_until = {past} where run_id = %(run_id)s", run_id=lost)
    hand.sql(f"update agentflow.agent_runs set deadline_at = {past} where run_id = %(run_id)s", run_id=late)
    hand.sql(f"update agentflow.outbox set lease_until = {past}, next_attempt_at = {past}")
    return [lost, untold, late, lettering]


def _sweep(worker: Worker, _: Any) -> Callable[[], Any]:
    return worker.sweeper(str(uuid.uuid4())).sweep


def _orphans(hand: Hand, item: str) -> list[str]:
    """A claimed step and two claimed letters of a process that is no more."""
    lost, lettering = hand.begin("labelling", item), _queued("lettering", hand, item)
    hand.runtime.worker = Identity(hand.runtime.worker.worker_id, 2**22 + 1)
    claim_step(hand.runtime, lost, 0, new_token())
    Batch.claim(hand.runtime, (hand.runtime.deliveries or {})["email"])
    return [lost, lettering]


def _report(worker: Worker, _: Any) -> Callable[[], Any]:
    sweeper = worker.sweeper()
    return lambda: sweeper.report_dead_children(list)


_TWINS = [
    [
        {"name": "look", "arguments": {"url": "URL", "item": "ITEM"}},
        {"name": "enter", "arguments": {"item": "ITEM"}},
    ],
    "Both are done.",
]  # fmt: skip


def _tool(name: str, agent: str, doubt: str = "") -> Scenario:
    return Scenario(name, partial(_begun, agent), partial(_execute, 0), doubt=doubt)


def _verification(name: str, *, arrives: bool) -> Scenario:
    return Scenario(
        name, partial(_done, "charging_badly", 1, arrives=arrives), partial(_execute, 1), loses_answer=True
    )  # fmt: skip


_ALL = (
    Scenario("submit", _given, _submit, again=_submit),
    Scenario("advance", lambda hand, item: hand.submit("reading", item), _advance),
    _tool("read", "reading"),
    _tool("transactional", "entering"),
    _tool("keyed", "reserving"),
    _tool("idempotent", "labelling"),
    _tool("verified", "charging"),
    _tool("unsafe", "shipping", doubt="call"),
    _tool("finish", "finishing"),
    _tool("retry", "stumbling"),
    Scenario("known_key", _known, partial(_execute, 0)),
    Scenario("model", partial(_conversing, _TWINS, 0), partial(_think, 0)),
    Scenario("sibling_first", partial(_conversing, _TWINS, 1), partial(_execute, 1)),
    Scenario("sibling_last", partial(_conversing, _TWINS, 2), partial(_execute, 2)),
    Scenario("answer", partial(_conversing, _TWINS, 3), partial(_think, 3)),
    _verification("verify_happened", arrives=True),
    _verification("verify_not_happened", arrives=False),
    Scenario("started", lambda hand, item: hand.submit("shipping", item), _start, doubt="call"),
    Scenario("mixed_steps", partial(_begun, "mixing"), _continue, doubt="call", commits=(2, 3)),
    Scenario("unheard_step", partial(_begun, "mixing"), _continue_unheard, doubt="call", commits=(2, 5)),
    Scenario("entered_first", partial(_begun, "entering_first"), _continue),
    Scenario("called_off", partial(_begun, "called_off"), _continue),
    Scenario("fanned_out", partial(_conversing, _TWINS, 0), partial(_think_on, 0)),
    Scenario("joined_last", partial(_conversing, _TWINS, 2), partial(_think_on, 2)),
    Scenario("compensate", partial(_done, "undoing", 2), partial(_execute, 2)),
    Scenario("approve", partial(_begun, "giving"), partial(_ask, _approve), again=partial(_ask_again, _approve)),
    Scenario("approved", _approved, partial(_execute, 0), doubt="call"),
    Scenario("cancel", partial(_begun, "reading"), partial(_ask, _cancel), again=partial(_ask_again, _cancel)),
    Scenario("relay_email", partial(_queued, "lettering"), partial(_relay, "email"), is_alone=True, doubt="letter"),
    Scenario("relay_webhook", partial(_queued, "hooking"), partial(_relay, "webhook"), is_alone=True),
    Scenario("sweep", _losses, _sweep, is_alone=True),
    Scenario("report", _orphans, _report, is_alone=True),
)  # fmt: skip

SCENARIOS: Mapping[str, Scenario] = {each.name: each for each in _ALL}
