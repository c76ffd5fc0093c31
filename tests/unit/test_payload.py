from __future__ import annotations

import enum
import json
from collections import UserDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.domain import payload
from agentflow.domain.errors import PayloadRefused

ESCAPE = "\ue000"


class Colour(str, enum.Enum):  # noqa: UP042 - StrEnum would hide what is shown
    RED = "red"


def stored(value: Any) -> Any:
    return payload.loads(payload.dumps(payload.sanitise(value).value))


def nested(depth: int, innermost: Any = 1) -> Any:
    value = innermost
    for _ in range(depth):
        value = [value]
    return value


# What is hard: NUL, surrogates, and the escape with the characters that stand for what it escapes.
texts = st.text(st.one_of(st.characters(), st.sampled_from(["\x00", ESCAPE, "0", "1", "\ud800", "\udfff"])))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts.filter(lambda key: not _has_surrogate(key)), inner),
    max_leaves=20,
)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= each <= "\udfff" for each in text)


@given(values)
def test_what_is_sanitised_reads_back_the_same(value: Any) -> None:
    clean = payload.sanitise(value)

    assert payload.loads(payload.dumps(clean.value)) == clean.value


@given(values)
def test_sanitising_twice_changes_and_flags_nothing_more(value: Any) -> None:
    clean = payload.sanitise(value).value

    assert payload.sanitise(clean) == payload.Payload(clean)


@given(values)
def test_the_stored_form_holds_no_nul_and_no_surrogate(value: Any) -> None:
    text = payload.dumps(payload.sanitise(value).value)

    assert "\\u0000" not in text
    assert not _has_surrogate(text)


@pytest.mark.parametrize(
    "text",
    ["\x00", "a\x00b", ESCAPE, f"{ESCAPE}0", f"{ESCAPE}1", f"{ESCAPE}\x00", f"\x00{ESCAPE}1", f"{ESCAPE}{ESCAPE}0"],
    ids=ascii,
)
def test_nul_is_escaped_reversibly_in_values_and_in_keys(text: str) -> None:
    assert stored({text: [text]}) == {text: [text]}


def test_two_keys_that_differ_in_nul_alone_stay_two_keys() -> None:
    value = {"\x00": 1, f"{ESCAPE}0": 2, f"{ESCAPE}10": 3}

    assert stored(value) == value


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("\ud800", "�"),
        ("a\udfffb", "a�b"),
        ("\ud800x\ud800", "�x�"),
        ("\udc00\ud800", "��"),
        ("\ufeff\ud800", "\ufeff�"),
    ],
    ids=ascii,
)
def test_lone_surrogates_are_replaced_and_flagged(text: str, mended: str) -> None:
    clean = payload.sanitise({"text": text})

    assert clean == payload.Payload({"text": mended}, (payload.SURROGATES_REPLACED,))


def test_a_surrogate_pair_in_two_parts_becomes_the_character_it_stands_for() -> None:
    assert payload.sanitise("\ud83d\ude00").value == "😀"


def test_an_emoji_is_no_surrogate_and_gets_no_flag() -> None:
    assert payload.sanitise("😀 é \u200d") == payload.Payload("😀 é \u200d")


def test_keys_that_would_fall_together_are_refused_with_their_place() -> None:
    with pytest.raises(PayloadRefused, match=r"\$\.a: two keys are the same"):
        payload.sanitise({"a": {chr(code): code for code in (0xD800, 0xD801)}})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), json.loads("1e400")])
def test_a_number_that_is_no_json_is_refused_with_its_place(number: float) -> None:
    with pytest.raises(PayloadRefused, match=r"\$\.prices\[1\]: (nan|-?inf) is not JSON"):
        payload.sanitise({"prices": [1.5, number]})


@pytest.mark.parametrize("digits", [1_001, 4_301, 5_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_of_too_many_digits_is_refused_without_being_printed(digits: int, sign: int) -> None:
    with pytest.raises(PayloadRefused, match=r"\$: an integer of over 1000 digits; send it as a string"):
        payload.sanitise(sign * 10 ** (digits - 1))


def test_an_integer_of_1_000_digits_reads_back_to_the_last_digit() -> None:
    assert stored(10**1_000 - 1) == 10**1_000 - 1


@pytest.mark.parametrize("innermost", [1, [], {}], ids=repr)
def test_64_levels_are_kept(innermost: Any) -> None:
    value = nested(64 if innermost == 1 else 63, innermost)

    assert stored(value) == value


@pytest.mark.parametrize("levels", [65, 6_000])
@pytest.mark.parametrize("innermost", [1, None], ids=["filled", "empty"])
def test_more_than_64_levels_are_refused_without_a_recursion_error(levels: int, innermost: int | None) -> None:
    value = nested(levels) if innermost else nested(levels - 1, [])

    with pytest.raises(PayloadRefused, match="nested deeper than 64 levels"):
        payload.sanitise(value)


def test_6_000_levels_of_objects_are_refused_too() -> None:
    value: Any = 1
    for _ in range(6_000):
        value = {"a": value}

    with pytest.raises(PayloadRefused, match="nested deeper than 64 levels"):
        payload.sanitise(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(PayloadRefused, match="nested deeper"):
        payload.sanitise(value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), 1j], ids=lambda value: type(value).__name__)
def test_what_is_no_json_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(PayloadRefused, match=r"\$\.a: a \w+ is not JSON"):
        payload.sanitise({"a": value})


def test_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(PayloadRefused, match=r"\$: the key 7 is not a string"):
        payload.sanitise({7: "seven"})


def test_an_enumerations_member_is_kept_by_its_value() -> None:
    clean = payload.sanitise({Colour.RED: Colour.RED}).value

    assert clean == {"red": "red"}
    assert [type(each) for each in (*clean, *clean.values())] == [str, str]


def test_tuples_and_other_mappings_become_plain_lists_and_objects() -> None:
    assert payload.sanitise(UserDict({"a": (1, 2)})).value == {"a": [1, 2]}


def test_10_megabytes_of_text_are_kept() -> None:
    text = "é" * 5_000_000 + "\x00"

    assert stored(text) == text


def test_a_digest_does_not_depend_on_the_order_of_keys_but_on_their_values() -> None:
    assert payload.digest({"a": 1, "b": 2}) == payload.digest({"b": 2, "a": 1})
    assert payload.digest({"a": 1}) != payload.digest({"a": "1"})
