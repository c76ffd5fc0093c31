"""What becomes of a step whose call fails, by kind and by class, against a real server that fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentflow import Agent, Context, Effect, Pipeline, ToolError, tool
from agentflow.domain.errors import ModelError
from agentflow.domain.outcome import Failed, InDoubt, Retrying
from agentflow.engine.visiting import QUOTA_HOLD_S
from agentflow.gate.open_gate import OpenGate
from agentflow.llm.clients import client_for
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE
from agentflow.testing import Harness, call, calls, scripted
from tests.integration.faulty import (
    Answer,
    Cut,
    CutWithin,
    Fault,
    Hang,
    Raw,
    huge,
    refused_url,
    truncated_json,
)
from tests.integration.hands import Hands
from tests.integration.outside import (
    Endpoint,
    begun,
    completion,
    fetch,
    posting,
    standing,
    step_error,
    tries,
)

pytest_plugins = ["tests.integration.outside_server"]


MAYBE: list[tuple[str, Fault, str]] = [
    ("500", Answer(500), "transient"),
    ("502", Answer(502), "transient"),
    ("504", Answer(504), "transient"),
    ("cut", Cut(), "transient"),
    ("reset", Cut(reset=True), "transient"),
    ("cut within the answer", CutWithin(), "transient"),
    ("no HTTP", Raw(b"hello\r\n\r\n"), "transient"),
    ("hang", Hang(), "timeout"),
    ("truncated JSON", truncated_json(), "malformed"),
    ("no JSON", Answer(200, body="<html>"), "malformed"),
]


def classed(first: str, second: str) -> list[Any]:
    """Every fault with one class, and some with another that is answered alike."""
    rows = [(first, row) for row in MAYBE] + [(second, row) for row in MAYBE[::3]]
    return [pytest.param(effect, fault, kind, id=f"{effect} {name}") for effect, (name, fault, kind) in rows]


@pytest.mark.parametrize(("effect", "fault", "kind"), classed("read", "keyed"))
def test_what_may_have_happened_is_tried_again_where_the_class_allows(
    agentflow: Harness,
    endpoint: Endpoint,
    effect: str,
    fault: Fault,
    kind: str,
) -> None:
    endpoint.answers(fault, Answer(200, body={"paid": True}))
    hands, run_id = begun(agentflow, posting(effect), endpoint.url)

    assert isinstance(hands.do(run_id), Retrying)
    assert (step_error(hands, run_id)["kind"], hands.step_row(run_id)["status"]) == (kind, "pending")
    hands.work()

    assert agentflow.client.get(run_id).result == {"paid": True}
    assert tries(hands, run_id) == ["retried", "ok"]
    keys = {arrival.headers["idempotency-key"] for arrival in endpoint.arrivals}
    assert len(keys) == 1


@pytest.mark.parametrize(("effect", "fault", "kind"), classed("unsafe", "verified"))
def test_what_may_have_happened_is_left_in_doubt_where_a_repeat_could_do_it_twice(
    agentflow: Harness,
    endpoint: Endpoint,
    effect: str,
    fault: Fault,
    kind: str,
) -> None:
    endpoint.answers(fault)
    hands, run_id = begun(agentflow, posting(effect), endpoint.url)

    assert isinstance(hands.do(run_id), InDoubt)
    hands.work()

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert (step_error(hands, run_id)["kind"], step_error(hands, run_id)["happened"]) == (kind, None)
    assert len(endpoint.arrivals) == 1
    assert hands.causes() == {"in_doubt"}


CERTAIN = {"503": Answer(503), "529": Answer(529), "429": Answer(429), "refused": None}


@pytest.mark.parametrize(
    ("effect", "fault"),
    [
        *(pytest.param(effect, Answer(503), id=effect) for effect in Effect if effect is not Effect.UNSAFE),
        *(pytest.param("unsafe", fault, id=f"unsafe {name}") for name, fault in CERTAIN.items()),
    ],
)
def test_what_certainly_did_not_happen_is_tried_again_whatever_the_class(
    agentflow: Harness, endpoint: Endpoint, effect: str, fault: Fault | None
) -> None:
    if fault is not None:
        endpoint.answers(fault)
    hands, run_id = begun(agentflow, posting(effect), endpoint.url if fault is not None else refused_url())

    assert isinstance(hands.do(run_id), Retrying)
    assert step_error(hands, run_id)["happened"] is False


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_a_request_that_is_wrong_is_never_repeated(agentflow: Harness, endpoint: Endpoint, status: int) -> None:
    endpoint.answers(Answer(status, body="no such order"))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.attempts, len(endpoint.arrivals)) == ("failed", 1, 1)
    assert (step_error(hands, run_id)["kind"], tries(hands, run_id)) == ("bad_input", ["error"])
    assert hands.causes() == set()


def test_a_request_that_is_wrong_is_told_to_the_model_which_may_mend_it(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(404, body="no such order"), Answer(200, body={"found": True}))
    told: list[Any] = []

    def look_again(request: Any) -> Any:
        told.append(request.messages[-1])
        return call("fetch", url=endpoint.url + "?again")

    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[fetch])
    found = agentflow.run(clerk, "go", model=scripted(call("fetch", url=endpoint.url), look_again, "found it"))

    assert (found.status, found.result) == ("done", "found it")
    assert told[0]["role"] == "tool"
    assert "no such order" in told[0]["content"]
    assert "bad_input" in told[0]["content"]
    assert [step.status for step in found.steps] == ["ok", "error", "ok", "ok", "ok"]


def test_a_model_is_told_what_may_have_happened_all_the_same(agentflow: Harness, endpoint: Endpoint) -> None:
    @tool(effect="keyed", name="pay")
    def pay(ctx: Context) -> str:
        raise ToolError(f"cut off at {ctx.idempotency_key}", kind="refused", happened=True)

    told: list[str] = []

    def answer(request: Any) -> str:
        told.append(request.messages[-1]["content"])
        return "sorry"

    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[pay])
    found = agentflow.run(clerk, "go", model=scripted(call("pay"), answer))

    assert found.status == "done"
    assert '"may_have_happened": true' in told[0]


def test_a_409_on_a_keyed_tool_is_its_own_earlier_attempt_and_waited_for(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(409), Answer(200))
    hands, run_id = begun(agentflow, posting("keyed"), endpoint.url)

    hands.work()

    assert tries(hands, run_id) == ["retried", "ok"]


@pytest.mark.parametrize("effect", ["read", "keyed"])
def test_answers_that_cannot_be_read_are_borne_four_times(agentflow: Harness, endpoint: Endpoint, effect: str) -> None:
    endpoint.answers(truncated_json())
    hands, run_id = begun(agentflow, posting(effect), endpoint.url)

    hands.work()

    assert tries(hands, run_id) == ["retried", "retried", "retried", "error"]
    assert agentflow.client.get(run_id).status == "failed"


def test_without_credit_the_run_stops_a_person_is_paged_and_the_breaker_is_held_open(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(402, body="pay first"))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    hands.runtime.gate = held = Held()

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], run.attempts) == ("failed", "quota", 1)
    assert step_error(hands, run_id)["kind"] == "quota"
    assert held.breakers == [("post_read", QUOTA_HOLD_S, "quota")]
    [alert] = agentflow.client.alerts()
    assert (alert["topic"], alert["run_id"], alert["step_index"]) == ("quota:post_read", run_id, 0)
    assert "pay first" in alert["message"]


class Held(OpenGate):
    """An open gate that notes which breakers it was asked to hold, and can't reach its Redis for it."""

    def __init__(self) -> None:
        self.breakers: list[tuple[str, float, str]] = []

    def hold_open(self, breaker: str, seconds: float, reason: str) -> None:
        self.breakers.append((breaker, seconds, reason))
        raise OSError("away")


def test_a_quota_ends_the_run_of_an_agent_too_and_skips_what_else_it_wanted(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    endpoint.answers(Answer(429, body={"error": {"code": "insufficient_quota"}}))
    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[fetch])
    asked = calls(call("fetch", url=endpoint.url), call("fetch", url=endpoint.url + "?other"))

    found = agentflow.run(clerk, "go", model=scripted(asked, "never said"))

    assert (found.status, found.error["kind"]) == ("failed", "quota")
    assert [step.status for step in found.steps] == ["ok", "error", "skipped"]


class Strange(Exception):
    """What some vendor's library raises."""


def say(kind: object) -> Callable[[Exception], Any]:
    return lambda error: kind if isinstance(error, Strange) else None


@pytest.mark.parametrize(
    ("answer", "statuses", "kind"),
    [
        ("transient", ["retried", "ok"], None),
        ("bad_input", ["error"], "bad_input"),
        (ToolError("slow down", kind="rate_limited", retry_after_s=2), ["retried", "ok"], None),
        (None, ["error"], "bug"),
        ("nonsense", ["error"], "bug"),
    ],
    ids=["a kind", "a final kind", "a ToolError", "nothing", "nonsense"],
)
def test_a_mapping_of_the_users_own_decides_what_an_exception_is(
    agentflow: Harness, answer: object, statuses: list[str], kind: str | None
) -> None:
    raised: list[int] = []

    @tool(effect="read", name="ask", classify=say(answer))
    def ask() -> str:
        if raised:
            return "there"
        raised.append(1)
        raise Strange("vendor code 17")

    asking = Pipeline("asking", [ask])
    hands = Hands(agentflow, asking)
    run_id = hands.begin(asking)

    hands.work()

    assert tries(hands, run_id) == statuses
    assert (step_error(hands, run_id) or {}).get("kind") == kind or kind is None


@tool(effect="read")
def stumble() -> str:
    raise KeyError("nobody thought of this")


stumbling = Pipeline("stumbling", [stumble])


def test_a_bug_is_not_tried_again_is_alerted_and_reported_once(agentflow: Harness) -> None:
    hands = Hands(agentflow, stumbling)
    reported: list[tuple[str, str, int, str]] = []

    def report(error: BaseException, *, run_id: str, step_index: int, tool: str) -> None:
        reported.append((type(error).__name__, run_id, step_index, tool))

    hands.runtime.report_bug = report
    run_id = hands.begin(stumbling)

    hands.work()

    assert agentflow.client.get(run_id).status == "failed"
    assert (tries(hands, run_id), step_error(hands, run_id)["kind"]) == (["error"], "bug")
    assert reported == [("KeyError", run_id, 0, "stumble")]
    [alert] = agentflow.client.alerts()
    assert (alert["topic"], alert["count"]) == ("bug:stumble", 1)
    assert "nobody thought of this" in alert["message"]


def test_failures_that_are_foreseen_are_reported_to_nobody(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503), Answer(429), Answer(500), Answer(401))
    hands, run_id = begun(agentflow, posting(), endpoint.url)
    reported: list[BaseException] = []
    hands.runtime.report_bug = lambda error, **_: reported.append(error)

    hands.work()

    assert tries(hands, run_id) == ["retried"] * 3 + ["error"]
    assert reported == []


def test_a_bug_in_an_unsafe_tool_is_a_doubt(agentflow: Harness) -> None:
    shipping = Pipeline("shipping", [tool(effect="unsafe", name="ship")(stumble.function)])
    hands = Hands(agentflow, shipping)
    run_id = hands.begin(shipping)

    hands.work()

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert tries(hands, run_id) == ["in_doubt"]


def test_of_an_error_of_ten_megabytes_the_beginning_is_kept(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(huge(400))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    hands.work()

    message = step_error(hands, run_id)["message"]
    assert len(message) == MAX_MESSAGE
    assert message.startswith("HTTP 400")
    assert hands.value("select max(pg_column_size(error::text)) from agentflow.agent_steps") < 20_000


def test_an_error_that_postgres_could_not_store_as_it_is_is_kept(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(400, {"Content-Type": "text/plain"}, b"nul \x00 and \xed\xa0\x80"))
    hands, run_id = begun(agentflow, posting(), endpoint.url)

    assert isinstance(hands.do(run_id), Failed)
    hands.work()

    assert agentflow.client.get(run_id).status == "failed"
    assert "nul" in agentflow.client.steps(run_id)[0].error["message"]


def test_a_tool_that_says_that_nothing_happened_is_believed(agentflow: Harness) -> None:
    told = iter([ToolError("the till is shut", kind="transient", happened=False)])

    @tool(effect="unsafe", name="charge")
    def charge() -> str:
        for error in told:
            raise error
        return "paid"

    charging = Pipeline("charging", [charge])
    hands = Hands(agentflow, charging)
    run_id = hands.begin(charging)

    hands.work()

    assert (tries(hands, run_id), agentflow.client.get(run_id).result) == (["retried", "ok"], "paid")


def test_a_model_that_is_overloaded_or_answers_nonsense_is_asked_again(agentflow: Harness, endpoint: Endpoint) -> None:
    json_type = {"Content-Type": "application/json"}
    broken = [Answer(529, json_type, {"error": {"message": "busy"}}), Answer(200, json_type, '{"choices": [')]
    endpoint.answers_at("/chat/completions", *broken, Cut(), completion("done"))
    clerk = Agent("clerk", model="openai:gpt-4o-mini")
    hands = Hands(agentflow, clerk)
    hands.runtime.models = lambda model, api_key=None: client_for(model, base_url=endpoint.url)
    run_id = hands.begin(clerk, "go")

    hands.work()

    assert agentflow.client.get(run_id).result == "done"
    assert tries(hands, run_id) == ["retried", "retried", "retried", "ok"]
    kinds = [attempt["error"] and attempt["error"]["kind"] for attempt in agentflow.client.steps(run_id)[0].tries]
    assert kinds == ["transient", "malformed", "transient", None]


def test_a_model_that_refuses_fails_its_run_without_another_try(agentflow: Harness) -> None:
    clerk = Agent("clerk", model="openai:gpt-4o-mini")

    found = agentflow.run(clerk, "go", model=scripted(ModelError("I would rather not", kind="refused")))

    assert (found.status, found.error["kind"], found.record.attempts) == ("failed", "model_failed", 1)
    assert "I would rather not" in found.error["message"]


def test_a_bug_in_a_model_of_ones_own_is_reported_once_and_ends_the_run(agentflow: Harness) -> None:
    clerk = Agent("clerk", model="openai:gpt-4o-mini")
    hands = Hands(agentflow, clerk, model=scripted(KeyError("choices")))
    reported: list[str] = []
    hands.runtime.report_bug = lambda error, **where: reported.append(where["tool"])
    run_id = hands.begin(clerk, "go")

    hands.work()

    assert (tries(hands, run_id), reported, hands.causes()) == (["error"], ["model"], {"bug"})
    assert agentflow.client.get(run_id).error["kind"] == "model_failed"
