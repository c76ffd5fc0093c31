"""What may be stored as JSON, and how it is written so that it reads back the same.

Postgres refuses NUL and lone surrogates, keeps numbers that Python cannot read again, and nests deeper than Python
reads. NUL is escaped reversibly with U+E000; the others are mended with a flag or refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from agentflow.domain.errors import PayloadRefused
from agentflow.domain.quoting import quoted

MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 1000
SURROGATES_REPLACED = "lone_surrogates_replaced"

# Made once: `json.dumps` makes an encoder for each call that has options.
_STORED = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))

_ESCAPE = "\ue000"
_INTEGER_BOUND = 10**MAX_INTEGER_DIGITS
_LONGEST_KEY_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Payload:
    """A value that is safe to store, and what had to be mended in it."""

    value: Any
    flags: tuple[str, ...] = ()


def sanitise(value: Any) -> Payload:
    """Return `value` as plain JSON data; raise PayloadRefused with the place for what cannot be stored.

    Mappings, sequences, strings, numbers, booleans and None are JSON; keys must be strings. Lone surrogates become
    U+FFFD and the payload is flagged; NaN, infinities, integers over 1,000 digits and nesting over 64 are refused.
    """
    flags: set[str] = set()
    clean = _clean(value, "$", 0, flags)
    return Payload(clean, tuple(sorted(flags)))


def read(text: str) -> Any:
    """Return the value of JSON that somebody wrote; raise PayloadRefused for what is none, or has a key twice.

    What can be written in JSON and not be stored is left to `sanitise`, which says where it stands.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise PayloadRefused(f"nested deeper than {MAX_DEPTH} levels; flatten the value") from error
    except ValueError as error:
        raise PayloadRefused(str(error)) from error


def dumps(value: Any) -> str:
    """Return the stored form of a sanitised value."""
    return _STORED.encode(_escape(value))


def loads(text: str | bytes) -> Any:
    """Return the value of a stored form."""
    if isinstance(text, bytes):
        text = text.decode()
    value = json.loads(text)
    return _unescape(value) if _ESCAPE in text else value


def digest(value: Any) -> bytes:
    """Return a hash of the value that does not depend on the order of keys."""
    text = _CANONICAL.encode(value)
    return hashlib.sha256(text.encode()).digest()


def _clean(value: Any, place: str, depth: int, flags: set[str]) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _clean_text(value, flags)
        case int() | float():
            return _clean_number(value, place)
        case _ if depth >= MAX_DEPTH:
            raise PayloadRefused(f"{place[:80]}...: nested deeper than {MAX_DEPTH} levels; flatten the value")
        case Mapping():
            return _clean_object(value, place, depth, flags)
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [_clean(item, f"{place}[{index}]", depth + 1, flags) for index, item in enumerate(value)]
        case _:
            raise PayloadRefused(f"{place}: a {type(value).__name__} is not JSON")


def _clean_object(value: Mapping[Any, Any], place: str, depth: int, flags: set[str]) -> dict[str, Any]:
    clean = {
        _clean_key(key, place, flags): _clean(item, f"{place}.{key[:_LONGEST_KEY_SHOWN]}", depth + 1, flags)
        for key, item in value.items()
    }
    if len(clean) != len(value):
        raise PayloadRefused(f"{place}: two keys are the same once their lone surrogates are replaced; rename one")
    return clean


def _clean_number(value: float, place: str) -> float:
    if isinstance(value, int):
        if abs(value) >= _INTEGER_BOUND:
            raise PayloadRefused(f"{place}: an integer of over {MAX_INTEGER_DIGITS} digits; send it as a string")
        return int(value)
    if not math.isfinite(value):
        raise PayloadRefused(f"{place}: {value!r} is not JSON; send null or a string")
    return float(value)


def _clean_key(key: Any, place: str, flags: set[str]) -> str:
    if not isinstance(key, str):
        raise PayloadRefused(f"{place}: the key {quoted(key)} is not a string")
    return _clean_text(key, flags)


def _clean_text(text: str, flags: set[str]) -> str:
    # An enumeration's member is a str whose own `__str__` says its name.
    text = str.__str__(text)
    if text.isascii() or text.isprintable():
        return text
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if clean != text:
        flags.add(SURROGATES_REPLACED)
    return clean


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in pairs:
        if key in found:
            raise PayloadRefused(f"the key {quoted(key)} stands in it twice")
        found[key] = item
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise PayloadRefused(f"{float(name)} is not JSON")


def _escape(value: Any) -> Any:
    match value:
        case str():
            if "\x00" in value or _ESCAPE in value:
                return value.replace(_ESCAPE, f"{_ESCAPE}1").replace("\x00", f"{_ESCAPE}0")
            return value
        case dict():
            return {_escape(key): _escape(item) for key, item in value.items()}
        case list() | tuple():
            return [_escape(item) for item in value]
        case _:
            return value


def _unescape(value: Any) -> Any:
    match value:
        case str():
            return value.replace(f"{_ESCAPE}0", "\x00").replace(f"{_ESCAPE}1", _ESCAPE) if _ESCAPE in value else value
        case dict():
            return {_unescape(key): _unescape(item) for key, item in value.items()}
        case list():
            return [_unescape(item) for item in value]
        case _:
            return value
