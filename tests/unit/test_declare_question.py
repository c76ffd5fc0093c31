from __future__ import annotations

import pytest

from agentflow import DeclarationError, ToolError, ask_person
from agentflow.domain.step import Effect
from agentflow.domain.waiting import Person

HERE = r"test_declare_question\.py:\d+: "


def test_a_question_is_a_tool_that_the_model_asks_in_words() -> None:
    asked = ask_person(description="Ask the warehouse.")

    assert asked.description == "Ask the warehouse."
    assert asked.signature.schema["required"] == ["question"]
    assert asked.signature.schema["properties"]["question"]["type"] == "string"
    assert "needed to answer it" in asked.signature.schema["properties"]["question"]["description"]


def test_a_question_waits_for_a_person_a_day_unless_it_says_otherwise() -> None:
    asked = ask_person()

    assert (asked.person_for({"question": "why?"}), asked.effect) == (Person.QUESTION, Effect.READ)
    assert (asked.expires_s, ask_person(expires_s=60).expires_s) == (86_400, 60)


def test_the_same_question_is_the_same_tool() -> None:
    assert ask_person() is ask_person("ask_person")
    assert ask_person("ask_boss") is not ask_person()


def test_nothing_but_a_person_answers_a_question() -> None:
    with pytest.raises(ToolError, match="'ask_person' is answered by a person") as raised:
        ask_person()("why?")

    assert raised.value.happened is False


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "ask a person"}, "tool 'ask a person': give it a name of letters"),
        ({"name": "question"}, "tool 'question': the name is reserved"),
        ({"expires_s": 0}, "expires_s=0; give seconds above zero"),
    ],
)
def test_a_question_that_cannot_work_is_refused_where_it_is_asked_for(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(DeclarationError, match=HERE + f".*{complaint}"):
        ask_person(**options)  # type: ignore[arg-type]
