from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentflow import Agent, DeclarationError, Pipeline, ask_person, tool
from agentflow.declare.registry import Registry, load

Write = Callable[..., None]

SHOP = """
    from agentflow import Agent, tool

    @tool(effect="read")
    def lookup(order_id: str) -> str:
        return order_id

    refunds = Agent("refunds", model="openai:gpt-4o-mini", tools=[lookup])
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write_module(name: str, text: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    yield write_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_is_loaded_with_its_agents_and_their_tools(write: Write) -> None:
    write("shop_a", SHOP)

    registry = load(["shop_a"])

    assert (list(registry.agents), list(registry.tools)) == (["refunds"], ["lookup"])
    assert registry.queues == {"coordinator", "model", "tool.lookup", "outbox.email", "outbox.webhook"}


def test_an_agent_that_two_modules_share_is_loaded_once(write: Write) -> None:
    write("shop_b", SHOP)
    write("shop_c", "from shop_b import refunds")

    assert list(load(["shop_b", "shop_c"]).agents) == ["refunds"]


def test_a_module_that_is_not_there_is_named(write: Write) -> None:
    write("shop_d", SHOP)

    with pytest.raises(DeclarationError, match="AGENTFLOW_AGENTS names 'shop_missing', which is no module on the path"):
        load(["shop_d", "shop_missing"])


@pytest.mark.parametrize("name", ["shop_pkg.agents", "shop_missing.agents", "sys.agents"])
def test_a_module_of_a_package_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DeclarationError, match=f"names '{name}', which is no module on the path"):
        load([name])


@pytest.mark.parametrize(
    ("text", "complaint", "line"),
    [
        ("import json\nimport shop_nowhere\n", "ModuleNotFoundError: No module named 'shop_nowhere'", 2),
        ("from json import nothing\n", "ImportError: cannot import name 'nothing'", 1),
        ("x = 1\n\ny = x / 0\n", "ZeroDivisionError: division by zero", 3),
        ("x = 1\ndef broken(:\n", "SyntaxError: invalid syntax", 2),
    ],
    ids=["missing import", "missing name", "error", "syntax"],
)
def test_a_module_that_does_not_import_says_why_and_where(write: Write, text: str, complaint: str, line: int) -> None:
    write("shop_e", text)

    with pytest.raises(DeclarationError, match=rf"'shop_e' does not import: {complaint}.*shop_e\.py:{line}\)"):
        load(["shop_e"])


def test_a_declaration_error_in_a_module_is_told_as_it_is(write: Write) -> None:
    write("shop_f", SHOP.replace('effect="read"', ""))

    with pytest.raises(DeclarationError, match=r"shop_f\.py:\d+: @tool needs an effect"):
        load(["shop_f"])


@tool(effect="read")
def lookup(order_id: str) -> str:
    return order_id


@tool(effect="read", name="lookup")
def another_lookup(order_id: str) -> str:
    return order_id


@tool(effect="verified")
def unverified(order_id: str) -> str:
    return order_id


def test_one_tool_may_serve_two_agents() -> None:
    agents = [Agent(name, model="openai:gpt-4o", tools=[lookup]) for name in ("a", "b")]

    assert list(Registry.of(agents).tools) == ["lookup"]


def test_two_tools_of_one_name_are_refused_with_both_places() -> None:
    declarations = [Pipeline("a", [lookup]), Pipeline("b", [another_lookup])]

    with pytest.raises(
        DeclarationError, match=r"registry\.py:\d+: the tool 'lookup' is declared at .*registry\.py:\d+ too"
    ):
        Registry.of(declarations)


def test_one_question_may_serve_two_agents() -> None:
    agents = [Agent(name, model="openai:gpt-4o", tools=[ask_person()]) for name in ("a", "b")]

    assert list(Registry.of(agents).tools) == ["ask_person"]


def test_two_questions_of_one_name_are_refused_with_both_places() -> None:
    declarations = [Pipeline(name, [ask_person(description=name)]) for name in ("a", "b")]

    with pytest.raises(
        DeclarationError, match=r"registry\.py:\d+: the tool 'ask_person' is declared at .*registry\.py:\d+ too"
    ):
        Registry.of(declarations)


def test_two_agents_of_one_name_are_refused_with_both_places() -> None:
    declarations = [Pipeline("a", [lookup]), Pipeline("a", [lookup])]

    with pytest.raises(
        DeclarationError, match=r"registry\.py:\d+: the agent 'a' is declared at .*registry\.py:\d+ too"
    ):
        Registry.of(declarations)


def test_a_verified_tool_that_nothing_verifies_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"add @unverified\.verify"):
        Registry.of([Pipeline("a", [unverified])])
