from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentflow.domain import message
from agentflow.domain.message import chain
from tests.unit.given import a_call

bodies = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text()}))


@given(bodies, bodies, bodies)
def test_equal_prefixes_have_equal_hashes_and_what_differs_differs_to_the_end(
    shared: list[Any], left: list[Any], right: list[Any]
) -> None:
    first, second = chain(shared + left), chain(shared + right)

    assert first[: len(shared)] == second[: len(shared)]
    assert (first == second) == (left == right)


@given(bodies, bodies)
def test_a_chain_goes_on_from_its_head(start: list[Any], rest: list[Any]) -> None:
    head = chain(start)[-1] if start else b""

    assert chain(start) + chain(rest, head) == chain(start + rest)


def test_a_message_said_twice_has_two_places() -> None:
    hashes = chain([dict(message.user("again"))] * 2)

    assert len(set(hashes)) == 2


def test_the_order_of_a_messages_keys_is_no_difference() -> None:
    assert chain([{"role": "user", "content": "a"}]) == chain([{"content": "a", "role": "user"}])


def test_a_chain_takes_nul_and_lone_surrogates() -> None:
    assert len(set(chain([{"content": "\x00"}]) + chain([{"content": "\ud800"}]) + chain([{"content": ""}]))) == 3


def test_a_tools_answer_names_the_call_it_answers() -> None:
    assert message.tool(a_call("lookup", call_id="c7"), "found") == {
        "role": "tool",
        "tool_call_id": "c7",
        "name": "lookup",
        "content": "found",
    }


def test_an_answer_without_calls_has_none() -> None:
    assert message.assistant("done") == {"role": "assistant", "content": "done"}
