"""Owns JSON as nobody would write it, made by Hypothesis, and what is to be read of it: told without our own code."""

from __future__ import annotations

import math
import re
from typing import Any

from hypothesis import strategies as st

REFUSED: Any = object()
"""What stands for a value that must be refused."""

ESCAPE = "\ue000"
_DEEPEST, _LONGEST_INTEGER = 64, 10**1_000

_odd = ["\x00", ESCAPE, "0", "1", "\ud800", "\udfff", "\ud83d", "\ude00", "\x1b", "\u202e", "\u2028", "\u0301", "🎉"]
texts = st.one_of(
    st.text(st.one_of(st.characters(), st.sampled_from(_odd)), max_size=12),
    st.sampled_from(
        ["", "🎉" * 10, "x" * 70_000, "\x00" * 100, "__proto__", "$ref", "null", "\x1b[2J", '{"a": 1, "a": 2}']
    ),
)
numbers = st.one_of(
    st.integers(),
    st.sampled_from([10**999, -(10**999), 2**53 + 1, 2**64, -0.0, 5e-324, 1.7e308]),
    st.floats(allow_nan=False, allow_infinity=False),
)
# Of more than 4,300 digits Python, and so Hypothesis, prints none: those are tested by name.
no_numbers = st.sampled_from([math.nan, math.inf, -math.inf, 10**1_000, -(10**4_000)])


def nested(depth: int, innermost: Any = 1) -> Any:
    """A value inside so many lists and objects."""
    value = innermost
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


deep = st.integers(60, 70).map(nested)
_good = st.none() | st.booleans() | numbers | texts
_leaves = st.one_of(_good, _good, _good, _good, no_numbers, deep)

anything: st.SearchStrategy[Any] = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
"""Values that may hold what cannot be kept."""


def mended(text: str) -> str:
    """A text without its lone surrogates."""
    whole = re.sub("[\ud800-\udbff][\udc00-\udfff]", lambda pair: _joined(*pair.group()), text)
    return re.sub("[\ud800-\udfff]", "\ufffd", whole)


def read_as(value: Any, depth: int = 0) -> Any:
    """What a value must read as once it was stored; REFUSED where it must not be stored."""
    match value:
        case str():
            return mended(value)
        case bool() | None:
            return value
        case int() | float():
            fits = math.isfinite(value) if isinstance(value, float) else abs(value) < _LONGEST_INTEGER
            return value if fits else REFUSED
        case _ if depth >= _DEEPEST:
            return REFUSED
        case dict():
            return _read_object(value, depth)
    items = [read_as(item, depth + 1) for item in value]
    return REFUSED if any(item is REFUSED for item in items) else items


arguments: st.SearchStrategy[Any] = anything.map(lambda value: read_as({"value": value})).filter(
    lambda read: read is not REFUSED
)
"""One argument by its name, with a value that is kept as it is."""


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON to the last digit and sign, and are of the same types."""
    return repr(one) == repr(other)


def _read_object(value: dict[str, Any], depth: int) -> Any:
    read = {mended(key): read_as(item, depth + 1) for key, item in value.items()}
    whole = len(read) == len(value) and not any(item is REFUSED for item in read.values())
    return read if whole else REFUSED


def _joined(high: str, low: str) -> str:
    return chr(0x10000 + ((ord(high) - 0xD800) << 10) + (ord(low) - 0xDC00))
