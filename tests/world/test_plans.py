"""Shows how the outside world's model follows the plan that a conversation brings along, and how it slips."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.world.knocks import post
from tests.world.process import World

PLAN = [[{"name": "look", "arguments": {"item": "a"}}, {"name": "pay", "arguments": {"cents": 1}}], {"echo": "Got: "}]


def said(world: World, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the model says to a conversation."""
    answer = post(world, "/v1/chat/completions", {"model": "m", "messages": messages}).raise_for_status()
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


def asked(plan: Any = PLAN) -> list[dict[str, Any]]:
    """Return the beginning of a conversation that brings a plan along."""
    return [{"role": "system", "content": "Be kind."}, {"role": "user", "content": json.dumps({"plan": plan})}]


def answered(messages: list[dict[str, Any]], said: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a conversation that goes on after what the model said: each call has an answer."""
    calls = said.get("tool_calls") or ()
    outputs = [{"role": "tool", "tool_call_id": call["id"], "content": call["function"]["name"]} for call in calls]
    return [*messages, said, *outputs]


def test_the_model_goes_through_the_plan_turn_by_turn(world: World) -> None:
    calls = said(world, asked())
    assert [call["function"]["name"] for call in calls["tool_calls"]] == ["look", "pay"]
    assert said(world, answered(asked(), calls))["content"] == 'Got: ["look", "pay"]'


def test_the_model_answers_a_repeated_request_alike(world: World) -> None:
    assert said(world, asked()) == said(world, asked())


def test_the_model_follows_the_newest_plan(world: World) -> None:
    before = answered(asked(["First."]), {"role": "assistant", "content": "First."})
    assert said(world, [*before, *asked(["Second."])[1:]])["content"] == "Second."


def test_the_model_repeats_a_turn_that_it_got_wrong(world: World) -> None:
    world.misbehave({"model": {"unknown_tool": 1.0}})
    wrong = said(world, asked())
    assert wrong["tool_calls"][-1]["function"]["name"] == "no_such_tool"
    world.heal()
    right = said(world, answered(asked(), wrong))
    assert [call["function"]["name"] for call in right["tool_calls"]] == ["look", "pay"]


def test_the_models_ids_are_doubled_or_missing_when_told_so(world: World) -> None:
    world.misbehave({"model": {"duplicate_ids": 1.0}})
    assert len({call["id"] for call in said(world, asked())["tool_calls"]}) == 1
    world.misbehave({"model": {"missing_ids": 1.0}})
    assert [call["id"] for call in said(world, asked())["tool_calls"]] == ["", ""]


def test_the_models_arguments_are_no_json_when_told_so(world: World) -> None:
    world.misbehave({"model": {"bad_arguments": 1.0}})
    arguments = said(world, asked())["tool_calls"][-1]["function"]["arguments"]
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(arguments)
