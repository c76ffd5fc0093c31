from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from agentflow import Agent, Context, DeclarationError, InvalidInput, Pipeline, Wait, Workflow, tool
from agentflow.domain.decision import Done, Fail, Next
from agentflow.domain.step import NewStep
from tests.unit.given import a_run

HERE = r"test_declare_agent\.py:\d+: "


class Ticket(BaseModel):
    text: str
    amount: float = 0.0


@tool(effect="read")
def lookup(order_id: str) -> str:
    """Look an order up."""
    return order_id


@tool(effect="read", name="lookup")
def other_lookup(order_id: str) -> str:
    """Look an order up elsewhere."""
    return order_id


@tool(effect="read")
def join(left: str, right: str) -> str:
    """Join two texts."""
    return left + right


def plain(order_id: str) -> str:
    return order_id


def declared(**options: Any) -> Agent:
    return Agent(**{"name": "refunds", "model": "openai:gpt-4o-mini", **options})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "re funds"}, "the name 're funds' may hold letters"),
        ({"name": ""}, "the name '' may hold letters"),
        ({"model": "gpt-4o"}, "model='gpt-4o' of 'refunds'; write it as 'provider:name'"),
        ({"model": 7}, r"model=7 of 'refunds' has no complete\(request\)"),
        ({"model_timeout_s": 0}, "model_timeout_s=0 of 'refunds'; give seconds above zero"),
        ({"tools": [plain]}, "'plain' is no tool; decorate it with @tool"),
        ({"tools": [lookup, other_lookup]}, "'refunds' has two tools of one name; rename one"),
        ({"input": Callable}, "the input .* of 'refunds' has no JSON schema"),
        ({"result": Callable}, "result=.* of 'refunds' has no JSON schema"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_agent_that_cannot_work_is_refused_with_its_place_and_a_mend(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=HERE + f".*{complaint}"):
        declared(**options)


def test_a_pipeline_without_tools_is_refused() -> None:
    with pytest.raises(DeclarationError, match=HERE + "Pipeline 'p' has no tools; give at least one"):
        Pipeline("p", [])


def test_a_pipeline_with_a_parameter_that_nothing_feeds_is_refused() -> None:
    with pytest.raises(DeclarationError, match=HERE + "in Pipeline 'p' nothing feeds 'left', 'right' of 'join'"):
        Pipeline("p", [lookup, join], input=Ticket)


def test_a_string_input_is_the_customers_message_word_for_word() -> None:
    assert declared().first_message("  refund\n me \u200d") == "  refund\n me \u200d"


def test_an_input_without_a_prompt_is_given_as_json() -> None:
    assert declared(input=Ticket).first_message({"text": "é"}) == '{"text": "é"}'


def test_a_prompt_is_made_of_the_declared_type() -> None:
    agent = declared(input=Ticket, prompt=lambda ticket: f"{ticket.text} {ticket.amount}")

    assert agent.first_message({"text": "hi"}) == "hi 0.0"


def test_a_prompt_that_is_no_text_is_an_error() -> None:
    with pytest.raises(TypeError, match="the prompt of 'refunds' answered None; answer a str"):
        declared(prompt=lambda _: None).first_message("hi")


def test_stored_input_that_no_longer_fits_says_where() -> None:
    with pytest.raises(InvalidInput, match="the input of 'refunds' does not fit: text: Field required"):
        declared(input=Ticket).parse_input({"txt": "hi"})


def test_a_text_result_is_the_models_text() -> None:
    assert declared().parse_result('{"a": 1}') == '{"a": 1}'


def test_a_typed_result_is_read_from_the_models_json() -> None:
    assert declared(result=Ticket).parse_result('{"text": "hi"}') == {"text": "hi", "amount": 0.0}


@pytest.mark.parametrize("content", ["no json", "{}", '{"text": 1}', "[" * 6_000])
def test_a_result_that_does_not_fit_says_what_is_wrong(content: str) -> None:
    with pytest.raises(ValueError, match=r"value: Invalid JSON|text: "):
        declared(result=Ticket).parse_result(content)


def test_an_agent_uses_the_queues_of_its_tools_and_its_model() -> None:
    assert declared(tools=[lookup], queue="q", model_queue="m").queues == {"q", "m", "tool.lookup"}


@pytest.mark.parametrize(
    "decision",
    [
        None,
        "done",
        Next([]),
        Next([NewStep("nothing", {})]),
        Next([NewStep("lookup", "4421")]),  # type: ignore[arg-type]
        Fail(),
        Fail("", "because"),
        Done(1, why="because"),  # type: ignore[arg-type]
        Fail("why", None),  # type: ignore[arg-type]
        Fail("a\x00b", "because"),
    ],
    ids=repr,
)
def test_a_workflow_takes_no_answer_that_is_no_decision(decision: Any) -> None:
    workflow = Workflow("w", tools=[lookup], decide=lambda run, history: decision)

    with pytest.raises(TypeError, match=r"the coordinator of 'w'|the input of 'lookup'"):
        workflow.decide(a_run(), [])


def test_a_workflow_takes_no_outcome_of_its_own() -> None:
    workflow = Workflow("w", tools=[], decide=lambda run, history: Done(1, "excellent"))  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="'excellent' is not a valid Outcome"):
        workflow.decide(a_run(), [])


@pytest.mark.parametrize("decision", [Wait(), Done(1), Fail("why", ""), Next([NewStep("lookup", {})])], ids=repr)
def test_a_workflow_answers_what_its_function_decides(decision: Any) -> None:
    workflow = Workflow("w", tools=[lookup], decide=lambda run, history: decision)

    assert workflow.decide(a_run(), []) is decision


def test_a_tool_that_takes_the_context_is_not_asked_for_it() -> None:
    @tool(effect="read")
    def attempts(ctx: Context) -> int:
        return ctx.attempt

    assert attempts.signature.schema["properties"] == {}
