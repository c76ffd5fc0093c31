"""Histories that do not fit: what is cut, what is left out, and what always stays."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.domain.message import Message, assistant, system, tool, user
from agentflow.llm.tokens import estimate_tokens
from agentflow.policy.shortening import FLOOR_CHARACTERS, Measure, shorten
from tests.unit.given import a_call


def in_bytes(messages: Sequence[Message]) -> int:
    return sum(len((message["content"] or "").encode()) + 10 for message in messages)


def as_json(messages: Sequence[Message]) -> int:
    return len(json.dumps(messages))


def acted(name: str, *outputs: str) -> list[Message]:
    calls = [a_call(name, call_id=f"{name}{number}") for number in range(len(outputs))]
    return [assistant(None, calls), *(tool(call, output) for call, output in zip(calls, outputs, strict=True))]


def contents(messages: Sequence[Message]) -> list[str | None]:
    return [message["content"] for message in messages]


texts = st.one_of(
    st.text(max_size=20),
    st.builds(
        lambda text, times: text * times, st.sampled_from(["x", "é\n", "😀", "ab😀", '"\\']), st.integers(1, 3_000)
    ),
)
calling = st.lists(texts, min_size=1, max_size=3).map(lambda outputs: acted("same", *outputs))
thinking = st.one_of(calling, texts.map(lambda text: [assistant(text)]))
exchanges = st.builds(
    lambda question, turns: [user(question), *(message for turn in turns for message in turn)],
    texts,
    st.lists(thinking, max_size=5),
)
histories = st.builds(
    lambda head, rest: [*head, *(message for exchange in rest for message in exchange)],
    st.sampled_from([[], [system("Be kind.")]]),
    st.lists(exchanges, min_size=1, max_size=4),
)
limits = st.one_of(st.integers(0, 500), st.integers(0, 20_000))
measures = st.sampled_from([in_bytes, as_json, estimate_tokens])


def test_a_history_that_fits_is_returned_as_it_is() -> None:
    history = [system("s"), user("u"), *acted("look", "x" * 1_000)]

    shortened = shorten(history, in_bytes(history), in_bytes)

    assert shortened.messages is history
    assert (shortened.fits, shortened.dropped_messages, shortened.removed_characters) == (True, 0, 0)


def test_the_longest_output_is_cut_first_and_the_others_stay_whole() -> None:
    history = [user("u"), *acted("look", "a" * 900, "b" * 5_000, "c" * 1_000)]

    shortened = shorten(history, in_bytes(history) - 2_000, in_bytes)

    assert contents(shortened.messages)[2::2] == ["a" * 900, "c" * 1_000]
    assert contents(shortened.messages)[3] == f"{'b' * 1250}\n[shortened: 2500 more characters]\n{'b' * 1250}"


def test_an_output_is_cut_no_more_than_is_needed() -> None:
    history = [user("u"), *acted("look", "b" * 8_000)]

    kept = [len(contents(shorten(history, limit, in_bytes).messages)[-1] or "") for limit in (4_100, 2_100, 1_100)]

    assert [length - length % 1_000 for length in kept] == [4_000, 2_000, 1_000]


def test_a_cut_output_keeps_its_head_and_its_tail_and_tells_how_much_is_missing() -> None:
    output = "".join(f"{number:05}" for number in range(2_000))
    [*_, message] = shorten([user("u"), *acted("look", output)], 0, in_bytes).messages

    found = re.fullmatch(r"(\d+)\n\[shortened: (\d+) more characters\]\n(\d+)", message["content"] or "")

    assert found
    assert output.startswith(found[1])
    assert output.endswith(found[3])
    assert len(found[1]) + int(found[2]) + len(found[3]) == len(output)
    assert len(found[1]) + len(found[3]) == FLOOR_CHARACTERS


def test_turns_are_left_out_only_where_cutting_outputs_is_not_enough() -> None:
    history = [user("u"), *(message for _ in range(20) for message in acted("look", "x" * 2_000))]

    assert shorten(history, 20_000, in_bytes).dropped_messages == 0
    assert shorten(history, 4_000, in_bytes).dropped_messages > 0


def test_the_oldest_turns_leave_and_what_remains_is_cut_no_more_than_is_needed() -> None:
    said, outputs = assistant("s" * 2_000), [acted(name, name[0] * 5_000) for name in ("first", "second", "third")]
    history = [system("s"), user("u"), said, *outputs[0], said, *outputs[1], *outputs[2]]

    shortened = shorten(history, 4_500, in_bytes)

    assert shortened.dropped_messages == 1
    assert [message["role"] for message in shortened.messages] == [m["role"] for m in (*history[:2], *history[3:])]
    assert [len(m["content"] or "") > 600 for m in shortened.messages if m["role"] == "tool"] == [True] * 3


def test_a_question_leaves_with_all_its_answers() -> None:
    between = [[user(f"question {n}"), *acted("look", "x" * 200), assistant(f"answer {n}" * 20)] for n in range(3)]
    history = [user("first"), assistant("hello"), *(m for exchange in between for m in exchange), user("last")]

    messages = shorten(history, in_bytes(history) - 300, in_bytes).messages

    assert messages == [user("first"), *between[1], *between[2], user("last")]


def test_the_last_question_and_the_latest_turn_stay() -> None:
    history = [system("s"), user("first"), assistant("a"), user("last"), *acted("old", "x" * 200), *acted("new", "y")]

    messages = shorten(history, 0, in_bytes).messages

    assert messages == [system("s"), user("first"), user("last"), *acted("new", "y")]


def test_what_the_customer_wrote_is_cut_last_and_instructions_never() -> None:
    history = [system("s" * 1_000), user("u" * 4_000), *acted("look", "x" * 4_000)]

    shortened = shorten(history, 3_500, in_bytes)

    assert shortened.fits
    assert contents(shortened.messages)[0] == "s" * 1_000
    assert "[shortened: 2000 more characters]" in (contents(shortened.messages)[1] or "")


def test_a_forty_thousand_token_thread_is_brought_under_a_small_window() -> None:
    shortened = shorten([system("Be kind."), user("word " * 40_000)], 4_000, estimate_tokens)

    assert shortened.fits
    assert 1_500 < estimate_tokens(shortened.messages) <= 4_000


def test_a_limit_out_of_reach_is_told_and_the_shortest_is_given() -> None:
    history = [system("s" * 5_000), user("u" * 5_000), *acted("old", "x"), *acted("look", "x" * 5_000)]

    shortened = shorten(history, 100, in_bytes)

    assert not shortened.fits
    assert shortened.dropped_messages == 2
    assert [len(text or "") < 300 for text in contents(shortened.messages)] == [False, True, True, True]


def test_the_history_given_is_not_changed() -> None:
    history = [user("u" * 5_000), *acted("look", "x" * 5_000)]
    before = json.dumps(history)

    shorten(history, 0, in_bytes)

    assert json.dumps(history) == before


def test_what_was_taken_is_counted() -> None:
    history = [user("u"), assistant("a" * 50), *acted("look", "x" * 5_000)]

    shortened = shorten(history, 0, in_bytes)

    missing = sum(len(text or "") for text in contents(history)) - sum(
        len(text or "") for text in contents(shortened.messages)
    )
    assert (shortened.dropped_messages, shortened.removed_characters) == (1, missing)


@pytest.mark.parametrize("history", [[], [system("s")], [tool(a_call("look"), "x")], [assistant("a")]])
def test_a_history_without_a_question_is_taken_too(history: list[Message]) -> None:
    assert shorten(history, -1, in_bytes).messages == history


def test_a_long_history_is_measured_a_few_dozen_times() -> None:
    history = [user("u"), *(message for _ in range(2_000) for message in acted("look", "x" * 16_000))]
    measured: list[int] = []

    def counted(messages: Sequence[Message]) -> int:
        measured.append(len(messages))
        return in_bytes(messages)

    assert shorten(history, 500_000, counted).fits
    assert len(measured) < 60


@given(histories, limits, measures)
def test_every_answer_follows_its_call_and_every_call_has_its_answers(
    history: list[Message], limit: int, measure: Measure
) -> None:
    awaited: list[str] = []
    for message in shorten(history, limit, measure).messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] == awaited.pop(0)
        else:
            assert not awaited
            awaited = [call["id"] for call in message.get("tool_calls", [])]
    assert not awaited


@given(histories, limits, measures)
def test_the_order_is_kept_and_nothing_but_texts_is_changed(
    history: list[Message], limit: int, measure: Measure
) -> None:
    originals = iter(history)
    for message in shorten(history, limit, measure).messages:
        assert any(is_made_of(message, original) for original in originals)


def is_made_of(message: Message, original: Message) -> bool:
    if message == original:
        return True
    head, _, tail = (message["content"] or "").partition("\n[shortened: ")
    tail = tail.partition("]\n")[2]
    text = original["content"] or ""
    return {**message, "content": text} == original and text.startswith(head) and text.endswith(tail)


@given(histories, limits, measures)
def test_instructions_and_the_first_and_the_last_question_stay(
    history: list[Message], limit: int, measure: Measure
) -> None:
    shortened = shorten(history, limit, measure).messages

    questions = [message for message in history if message["role"] == "user"]
    kept = [message for message in shortened if message["role"] == "user"]
    assert [m for m in shortened if m["role"] == "system"] == [m for m in history if m["role"] == "system"]
    assert is_made_of(kept[0], questions[0])
    assert is_made_of(kept[-1], questions[-1])
    assert len(kept) >= min(2, len(questions))


@given(histories, limits, measures)
def test_the_result_is_never_longer_and_says_whether_it_fits(
    history: list[Message], limit: int, measure: Measure
) -> None:
    shortened = shorten(history, limit, measure)

    assert measure(shortened.messages) <= measure(history)
    assert shortened.fits == (measure(shortened.messages) <= limit)


@given(histories, limits, measures)
def test_a_limit_is_kept_wherever_the_shortest_form_keeps_it(
    history: list[Message], limit: int, measure: Measure
) -> None:
    shortest = shorten(history, -1, measure).messages

    assert shorten(history, limit, measure).fits == (measure(shortest) <= limit)


@given(histories, limits, measures)
def test_shortening_what_was_shortened_changes_nothing(history: list[Message], limit: int, measure: Measure) -> None:
    once = shorten(history, limit, measure)

    assert shorten(once.messages, limit, measure).messages == once.messages
    assert shorten(history, limit, measure) == once


@given(histories, limits)
def test_texts_stay_valid_unicode(history: list[Message], limit: int) -> None:
    for text in contents(shorten(history, limit, in_bytes).messages):
        assert (text or "").encode().decode() == (text or "")
