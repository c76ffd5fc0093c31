"""The scripted model: what tests and the demo put in the model's place."""

from decimal import Decimal

import pytest

from agentflow.domain.errors import ModelError
from agentflow.domain.message import Message, assistant, tool, user
from agentflow.llm.protocol import ModelRequest, Usage
from agentflow.llm.scripted import Answer, call, calls, scripted


def request(*messages: Message, model: str = "scripted:none") -> ModelRequest:
    return ModelRequest(model, messages or (user("hello"),))


def test_text_is_the_final_answer() -> None:
    answer = scripted("done").complete(request())
    assert (answer.content, list(answer.tool_calls), answer.finish_reason) == ("done", [], "stop")


def test_call_asks_for_a_tool_with_its_arguments_as_json() -> None:
    answer = scripted(call("issue_refund", order_id="4421", name="Zoë")).complete(request())
    assert answer.content is None
    assert answer.finish_reason == "tool_calls"
    wanted = {"id": "call_0_0", "name": "issue_refund", "arguments": '{"order_id":"4421","name":"Zoë"}'}
    assert list(answer.tool_calls) == [wanted]


def test_raw_arguments_are_sent_word_for_word() -> None:
    answer = scripted(call("issue_refund", raw="{not json")).complete(request())
    assert answer.tool_calls[0]["arguments"] == "{not json"


def test_several_calls_in_one_answer_have_their_own_ids_and_text() -> None:
    answer = scripted(calls(call("a"), call("b"), text="One moment.")).complete(request())
    assert [wanted["id"] for wanted in answer.tool_calls] == ["call_0_0", "call_0_1"]
    assert answer.content == "One moment."


def test_call_ids_can_be_repeated_on_purpose() -> None:
    answer = scripted(calls(call("a"), call("b"), ids=["x", "x"])).complete(request())
    assert [wanted["id"] for wanted in answer.tool_calls] == ["x", "x"]


def test_the_same_request_gets_the_same_answer_from_another_process_too() -> None:
    script: tuple[Answer, ...] = (call("lookup", order_id="1"), "done")
    first = scripted(*script).complete(request())
    history = (user("hello"), assistant(None, first.tool_calls), tool(first.tool_calls[0], "found"))
    assert scripted(*script).complete(request()) == first
    assert scripted(*script).complete(request(*history)).content == "done"


def test_a_later_run_of_the_conversation_goes_on_in_the_script() -> None:
    model = scripted("first", "second")
    assert model.complete(request(user("a"), assistant("first"), user("b"))).content == "second"


def test_a_script_that_is_over_says_how_many_answers_it_has() -> None:
    with pytest.raises(ModelError, match="has 1 answers, asked for number 2") as caught:
        scripted("first").complete(request(user("a"), assistant("first"), user("b")))
    assert caught.value.kind == "bad_input"


def test_an_exception_in_the_script_is_raised() -> None:
    with pytest.raises(ModelError) as caught:
        scripted(ModelError("slow down", kind="rate_limited", retry_after_s=3)).complete(request())
    assert (caught.value.kind, caught.value.retry_after_s) == ("rate_limited", 3)


def test_a_function_decides_from_the_request() -> None:
    model = scripted(lambda asked: call("echo", text=asked.messages[-1]["content"]))
    assert model.complete(request(user("hi"))).tool_calls[0]["arguments"] == '{"text":"hi"}'


def test_an_object_is_answered_as_json() -> None:
    assert scripted({"approved": True}).complete(request()).content == '{"approved": true}'


def test_what_is_no_answer_is_named() -> None:
    with pytest.raises(TypeError, match="42 is no answer"):
        scripted(42).complete(request())  # type: ignore[arg-type]


def test_usage_is_a_quarter_of_the_characters() -> None:
    answer = scripted("12345678").complete(request(user("x" * 101)))
    assert answer.usage == Usage(prompt_tokens=26, completion_tokens=2)


def test_a_scripted_answer_costs_what_the_named_model_would_and_else_nothing() -> None:
    priced = scripted("y" * 800).complete(request(user("x" * 4000), model="openai:gpt-4o-mini"))
    assert priced.cost_usd == Decimal("0.00027")
    assert scripted("y").complete(request()).cost_usd == 0
