"""Any JSON, at every place where somebody hands us some: it is read as it was sent, or refused and not there at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agentflow import Agent, Context, Happened, Pipeline, ToolError, tool
from agentflow.declare.question import ask_person
from agentflow.domain.errors import InterventionRefused, InvalidInput, SubmissionRefused
from agentflow.testing import FinishedRun, Harness, call, calls, scripted
from tests.integration.hands import Hands
from tests.integration.hard_json import REFUSED, anything, arguments, mended, read_as, same, texts
from tests.integration.readback import read_everything

MODEL = "openai:gpt-4o-mini"


def examples(most: int) -> settings:
    return settings(
        max_examples=most,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(autouse=True)
def everything_reads_back(agentflow: Harness) -> Iterator[None]:
    with capture_logs():
        yield
    assert read_everything(agentflow) > 0


@tool(effect="read")
def echo(value: Any) -> Any:
    return value


echoing = Pipeline("echoing", [echo])


@given(anything)
@examples(30)
def test_a_submissions_input_is_read_as_it_was_sent_or_refused_with_nothing_written(
    agentflow: Harness, value: Any
) -> None:
    agentflow.runtime(echoing)
    expected = read_as(value)
    if expected is not REFUSED:
        run = agentflow.client.submit("echoing", value)
        assert same(agentflow.client.get(run.run_id).input, expected)
        return
    with pytest.raises(InvalidInput, match="the input cannot be stored: "):
        agentflow.client.submit("echoing", value, idempotency_key="refused")
    assert all(run.idempotency_key is None for run in agentflow.client.list(most=100))


@given(anything)
@examples(10)
def test_a_tools_output_is_read_as_it_was_given_or_is_a_typed_error(agentflow: Harness, value: Any) -> None:
    def give(ctx: Context) -> Any:
        return value if ctx.idempotency_key else None

    run = agentflow.run(Pipeline("giving", [tool(effect="keyed")(give)]), None)

    expected = read_as(value)
    if expected is REFUSED:
        assert (run.status, run.steps[0].error["kind"], run.steps[0].error["happened"]) == (
            "failed",
            "bad_output",
            True,
        )
    else:
        assert same(run.steps[0].output, expected)


@given(arguments)
@examples(12)
def test_a_tool_is_called_with_the_arguments_that_were_sent(agentflow: Harness, arguments: dict[str, Any]) -> None:
    seen: list[Any] = []

    @tool(effect="read")
    def take(value: Any) -> None:
        seen.append(value)

    agentflow.run(Pipeline("taking", [take]), arguments)

    assert same(seen, [arguments["value"]])


@given(notes=st.dictionaries(texts, anything, max_size=3), body=anything)
@examples(10)
def test_notes_and_messages_are_read_as_they_were_written_or_none_of_them_is(
    agentflow: Harness, notes: dict[str, Any], body: Any
) -> None:
    def write(ctx: Context) -> None:
        ctx.scratchpad.update(notes)
        ctx.outbox.webhook("https://example.com/hook", body)

    run = agentflow.run(Pipeline("writing", [tool(effect="read")(write)]), None)

    noted, sent = read_as(notes), read_as({"payload": body})
    if REFUSED in (noted, sent):
        assert (run.steps[0].error["kind"], run.record.scratchpad, run.outbox) == ("bad_output", {}, [])
        return
    # A note of None is a deleted one.
    assert same(sorted(run.record.scratchpad.items()), sorted((k, v) for k, v in noted.items() if v is not None))
    assert same(run.outbox[0]["payload"]["payload"], sent["payload"])


@given(anything)
@examples(10)
def test_a_persons_answer_is_read_as_it_was_given_or_the_question_stays(agentflow: Harness, value: Any) -> None:
    hands = Hands(
        agentflow,
        Agent("asker", model=MODEL, tools=[ask_person()]),
        model=scripted(call("ask_person", question="?"), "done"),
    )
    run_id = hands.submit(Agent("asker", model=MODEL), "go")
    hands.work()
    [asked] = agentflow.client.approvals.list(run_id=run_id)
    expected = read_as(value)
    if expected is REFUSED or expected is None or (isinstance(expected, str) and not expected.strip()):
        with pytest.raises(InterventionRefused, match=r"cannot be stored|is empty"):
            agentflow.client.approvals.answer(asked["approval_id"], value, by="ann")
        assert agentflow.client.approvals.get(asked["approval_id"])["status"] == "pending"
        return
    agentflow.client.approvals.answer(asked["approval_id"], value, by="ann")
    assert same(agentflow.client.approvals.get(asked["approval_id"])["answer"], expected)
    assert same(agentflow.client.steps(run_id)[1].output, expected)


@tool(effect="unsafe")
def ship() -> Any:
    return "shipped"


@given(anything)
@examples(10)
def test_what_a_person_says_that_a_doubtful_call_gave_is_read_as_it_was_said_or_the_doubt_stays(
    agentflow: Harness, value: Any
) -> None:
    shipping = Pipeline("shipping", [ship])
    run = agentflow.run(shipping, None, crash_after="ship")
    expected = read_as(value)
    if expected is REFUSED:
        with pytest.raises(InterventionRefused, match="the answer cannot be stored"):
            agentflow.client.operations.resolve(run.run_id, "happened", answer=value)
        assert agentflow.client.steps(run.run_id)[0].status == "in_doubt"
        return
    agentflow.client.operations.resolve(run.run_id, "happened", answer=value)
    agentflow.work(agentflow.runtime(shipping))
    assert same(agentflow.client.get(run.run_id).result, expected)


@given(anything)
@examples(10)
def test_what_a_verification_found_is_read_as_it_was_said_or_the_doubt_stays(agentflow: Harness, value: Any) -> None:
    @tool(effect="verified", settle_s=1)
    def send(ctx: Context) -> Any:
        return ctx.idempotency_key

    @send.verify
    def ask() -> Happened[Any]:
        return Happened(value)

    run = agentflow.run(Pipeline("sending", [send]), None, crash_after="send")

    expected = read_as({"result": value})
    if expected is REFUSED:
        assert (run.status, run.steps[1].error["kind"]) == ("waiting_human", "bad_output")
    else:
        assert (run.status, same(run.result, expected["result"])) == ("done", True)


@given(anything)
@examples(10)
def test_what_an_undoing_answered_is_read_as_it_was_given_or_counts_as_not_undone(
    agentflow: Harness, value: Any
) -> None:
    @tool(effect="idempotent")
    def book() -> str:
        return "booked"

    @book.compensate
    def unbook(result: str) -> Any:
        return value if result else None

    @tool(effect="read")
    def refuse() -> None:
        raise ToolError("no")

    run = agentflow.run(Pipeline("booking", [book, refuse]), None)

    expected = read_as(value)
    if expected is REFUSED:
        assert (run.record.compensation, run.steps[2].error["kind"]) == ("failed", "bad_output")
    else:
        assert (run.record.compensation, same(run.steps[2].output, expected)) == ("done", True)


clerk = Agent("clerk", model=MODEL, tools=[echo])


@given(texts)
@examples(10)
def test_a_models_words_are_read_as_it_said_them(agentflow: Harness, text: str) -> None:
    run = agentflow.run(clerk, text, model=scripted(text))

    assert (run.status, run.record.input, run.result) == ("done", mended(text), mended(text))


@given(anything)
@examples(10)
def test_a_models_arguments_reach_the_tool_as_it_wrote_them_or_go_back_to_it(agentflow: Harness, value: Any) -> None:
    run = agentflow.run(clerk, "go", model=scripted(call("echo", raw=json.dumps({"value": value})), "done"))

    expected = read_as({"value": value})
    assert (run.status, run.result) == ("done", "done")
    if expected is REFUSED:
        assert [step.tool_name for step in run.steps] == ["model", "model"]
        assert run.steps[0].output["errors"]["0"]["kind"] == "bad_input"
    else:
        assert same(run.steps[1].output, expected["value"])


@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=3))
@examples(10)
def test_names_ids_and_arguments_of_calls_may_be_any_text(
    agentflow: Harness, parts: list[tuple[str, str, str]]
) -> None:
    asked = calls(
        *[call(name, raw=arguments) for name, _, arguments in parts], ids=[call_id for _, call_id, _ in parts]
    )

    run = agentflow.run(clerk, "go", model=scripted(asked, "sorry"))

    assert (run.status, run.result, len(run.steps)) == ("done", "sorry", 2)
    told = [(each["name"], each["id"], each["arguments"]) for each in run.steps[0].output["tool_calls"]]
    assert told == [tuple(map(mended, part)) for part in parts]


@given(texts)
@examples(10)
def test_a_tools_error_is_told_as_it_was_raised(agentflow: Harness, text: str) -> None:
    def fail() -> None:
        raise ToolError(text, happened=False)

    run = agentflow.run(Pipeline("failing", [tool(effect="read")(fail)]), None)

    message = run.steps[0].error["message"]
    assert (run.status, run.steps[0].attempt) == ("failed", 1)
    assert message == mended(text) or (not text and message) or (len(text) > len(message) and message.startswith("xxx"))


@given(user=texts, conversation=texts, key=texts)
@examples(20)
def test_names_that_a_caller_gives_are_kept_letter_for_letter_or_refused(
    agentflow: Harness, user: str, conversation: str, key: str
) -> None:
    agentflow.runtime(echoing)
    names = {"user": user, "conversation": conversation, "idempotency_key": key}
    if not all(name and name.isprintable() and len(name) <= 500 for name in names.values()):
        with pytest.raises(SubmissionRefused, match="give a str of 1 to 500 printable characters"):
            agentflow.client.submit("echoing", None, **names)
        return
    submitted = agentflow.client.submit("echoing", None, **names)
    assume(submitted.created)
    run = agentflow.client.get(submitted.run_id)
    assert (run.user_id, run.conversation_id, run.idempotency_key) == (user, conversation, key)
    assert run in agentflow.client.list(user=user, conversation=conversation)


@tool(effect="keyed", key="order:{order_id}")
def refund(ctx: Context, order_id: str) -> str:
    return ctx.idempotency_key


@given(texts)
@examples(10)
def test_a_business_key_is_printable_and_one_for_each_text_or_the_arguments_are_refused(
    agentflow: Harness, order_id: str
) -> None:
    run: FinishedRun = agentflow.run(Pipeline("refunding", [refund]), {"order_id": order_id})

    if run.status == "done":
        assert run.result == run.steps[0].idempotency_key == f"order:{mended(order_id)}"
        assert run.result.isprintable()
    else:
        assert (run.steps, run.error["kind"]) == ([], "bad_input")
