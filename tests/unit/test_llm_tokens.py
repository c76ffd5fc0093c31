"""Token counts where no provider counted."""

import pytest

from agentflow.domain.message import assistant, system, tool, user
from agentflow.llm.protocol import ToolSchema, Usage
from agentflow.llm.tokens import FRAME_TOKENS, estimate_tokens, estimate_usage
from tests.unit.given import a_call

LOOK = ToolSchema("look", "Look an order up.", {"type": "object", "properties": {"order_id": {"type": "string"}}})


def test_nothing_needs_no_tokens() -> None:
    assert estimate_tokens([]) == 0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("abc", 1), ("abcd", 2), ("é" * 3, 2), ("😀" * 3, 4), ("漢字", 2), ("\ud800", 1)],
    ids=["empty", "three letters", "rounded up", "accents", "emoji", "Chinese", "half a pair"],
)
def test_three_bytes_are_a_token_rounded_up_and_each_message_has_its_frame(text: str, tokens: int) -> None:
    assert estimate_tokens([user(text)]) == FRAME_TOKENS + tokens


def test_messages_add_up() -> None:
    assert estimate_tokens([system("abcd"), user("abcd")]) == 2 * estimate_tokens([user("abcd")])


def test_tool_calls_and_their_answers_count_with_their_ids() -> None:
    call = a_call("look", '{"order_id":"4421"}', call_id="call_1")

    assert estimate_tokens([assistant(None, [call])]) == FRAME_TOKENS + 10
    assert estimate_tokens([tool(call, "delivered")]) == FRAME_TOKENS + 5


def test_tools_and_the_wanted_form_of_the_result_count_as_they_are_sent() -> None:
    assert estimate_tokens([], [LOOK]) == FRAME_TOKENS + 45
    assert estimate_tokens([], [LOOK, LOOK]) == 2 * estimate_tokens([], [LOOK])
    assert estimate_tokens([], result_schema={"type": "string"}) == FRAME_TOKENS + 6


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("Donaudampfschifffahrtsgesellschaft", 10),
        ('{"order_id":"4421","amount_cents":500,"currency":"EUR"}', 17),
        ("1234567890" * 10, 34),
        ("我们的产品质量很好。请放心购买。", 9),
    ],
    ids=["English", "German", "JSON", "digits", "Chinese"],
)
def test_for_ordinary_text_the_estimate_is_not_below_what_o200k_base_counts(text: str, counted: int) -> None:
    assert estimate_tokens([user(text)]) - FRAME_TOKENS >= counted


def test_usage_that_is_made_up_counts_four_characters_a_token_as_recordings_expect() -> None:
    messages = [system("abcd"), user("é" * 5), assistant(None, [a_call("look", "{}")])]

    assert estimate_usage(messages, "done!", [a_call("look", '{"a":1}')]) == Usage(4, 4)
