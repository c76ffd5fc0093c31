from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentflow import Agent, DeclarationError, Done, Fail, Handoff, Model, Partial, Pipeline, Workflow, tool
from agentflow.declare.declaration import Declaration
from agentflow.declare.fallback import Fallback
from agentflow.llm.protocol import ModelClient
from agentflow.testing import scripted


@tool(effect="read")
def look(n: int) -> str:
    return f"saw {n}"


def an_agent(**options: Any) -> Agent:
    return Agent("refunds", model="openai:gpt-4o", **options)


def a_pipeline(**options: Any) -> Pipeline:
    return Pipeline("nightly", [look], **options)


def a_workflow(**options: Any) -> Workflow:
    return Workflow("triage", decide=lambda run, history: Done(1), tools=[look], **options)


KINDS = pytest.mark.parametrize("declared", [an_agent, a_pipeline, a_workflow])


@KINDS
@pytest.mark.parametrize(
    ("given", "word"),
    [(None, "fail"), (Fail(), "fail"), (Handoff(), "handoff"), (Partial(), "partial")],
    ids=["nothing", "Fail", "Handoff", "Partial"],
)
def test_every_kind_of_agent_may_end_in_each_way(
    declared: Callable[..., Declaration], given: Fallback | Fail | None, word: str
) -> None:
    fallback = declared(fallback=given).fallback

    assert (fallback.word, fallback.model) == (word, None)


@pytest.mark.parametrize(
    ("then", "word"),
    [(Fail(), "fail"), (Handoff(), "handoff"), (Partial(), "partial")],
    ids=["Fail", "Handoff", "Partial"],
)
def test_an_agent_may_go_on_with_another_model_and_then_end(then: Fallback | Fail, word: str) -> None:
    fallback = an_agent(fallback=Model("openai:gpt-4o-mini", then=then)).fallback

    assert (fallback.word, fallback.model) == (word, "openai:gpt-4o-mini")


def test_a_model_fails_then_unless_told_otherwise() -> None:
    assert an_agent(fallback=Model("openai:gpt-4o-mini")).fallback.word == "fail"


def test_a_fallbacks_model_may_be_an_object_as_the_agents_own() -> None:
    model: ModelClient = scripted("done")

    assert an_agent(fallback=Model(model)).fallback.model is model


@KINDS
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("handoff", r"fallback='handoff': give Fail\(\), Handoff\(\), Partial\(\) or Model\('provider:name'\)"),
        (Handoff, "fallback=.*Handoff.*: give Fail"),
        (Fail("budget", "too much"), r"fallback=Fail\(.*\): the ceiling is the reason; write Fail\(\)"),
        (False, "fallback=False: give Fail"),
    ],
    ids=["a word", "a class", "a reason", "a flag"],
)
def test_what_is_no_fallback_is_refused_with_its_place(
    declared: Callable[..., Declaration], given: Any, complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=rf"test_declare_fallback\.py:\d+: '.*': {complaint}"):
        declared(fallback=given)


@pytest.mark.parametrize("declared", [a_pipeline, a_workflow])
def test_what_asks_no_model_takes_none_as_its_fallback(declared: Callable[..., Declaration]) -> None:
    with pytest.raises(DeclarationError, match=r"asks no model that .* could stand in for; give Fail\(\), Handoff\(\)"):
        declared(fallback=Model("openai:gpt-4o-mini"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "gpt-4o-mini"}, "write it as 'provider:name'"),
        ({"name": 7}, r"it has no complete\(request\)"),
        ({"name": "openai:a", "then": Model("openai:b")}, r"give Fail\(\), Handoff\(\) or Partial\(\)"),
        ({"name": "openai:a", "then": "handoff"}, "fallback='handoff': give Fail"),
    ],
    ids=["no provider", "no model", "a second model", "a word"],
)
def test_a_model_that_cannot_stand_in_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        Model(**options)


@pytest.mark.parametrize("change", [Handoff(), Partial()], ids=["Handoff", "Partial"])
@KINDS
def test_a_change_of_the_fallback_is_a_version_of_its_own(
    declared: Callable[..., Declaration], change: Fallback
) -> None:
    assert declared(fallback=change).version != declared().version == declared(fallback=Fail()).version
