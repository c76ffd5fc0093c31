"""A run's input from the command line: JSON or plain text, as an argument, from standard input, or from a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from agentflow.cli.complaints import WrongUse
from agentflow.domain import payload
from agentflow.domain.errors import InputTooLarge, InvalidInput, PayloadRefused

# JSON may be written with more white space than is stored.
_ROOM = 4


def read_text(argument: str, most_bytes: int) -> str:
    """Return the text that INPUT stands for: itself, standard input for `-`, a file's for `@file`."""
    if argument == "-":
        return _decoded(sys.stdin.buffer, "standard input", most_bytes)
    if not argument.startswith("@"):
        return argument
    try:
        with Path(argument[1:]).open("rb") as file:
            return _decoded(file, argument[1:], most_bytes)
    except OSError as error:
        raise WrongUse(
            f"INPUT {argument!r} names a file that cannot be read ({error.strerror}): mend the name; "
            "a text that starts with @ goes in by standard input, as `-`"
        ) from error


def parse_input(text: str, schema: Mapping[str, Any], agent: str) -> Any:
    """Return the input that a text means to an agent.

    It is JSON. Where the agent takes a string, what is no JSON string is the message itself; where the agent says
    nothing of its input, so is what is no JSON at all. Raises InvalidInput.
    """
    try:
        value = payload.read(text)
    except PayloadRefused as error:
        if _is_plain(text, schema):
            return text
        raise InvalidInput(
            f"the input for {agent!r} is no JSON: {error}; quote it for the shell ('{{...}}'), or give @FILE or -"
        ) from None
    return value if isinstance(value, str) or not _takes_text(schema) else text


def parse_json(text: str) -> Any:
    """Return the data that an option means; raise WrongUse for what is no JSON."""
    try:
        return payload.read(text)
    except PayloadRefused as error:
        raise WrongUse(
            f"{text[:80]!r} is no JSON: {error}; quote it for the shell ('{{...}}'), a text in double quotes inside"
        ) from None


def _is_plain(text: str, schema: Mapping[str, Any]) -> bool:
    return _takes_text(schema) or (not schema and text.lstrip()[:1] not in {"{", "["})


def _takes_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string"


def _decoded(stream: BinaryIO, name: str, most_bytes: int) -> str:
    data = stream.read(_ROOM * most_bytes + 1)
    if len(data) > _ROOM * most_bytes:
        raise InputTooLarge(
            f"the input in {name!r} is over {len(data) - 1} bytes; "
            f"the limit is {most_bytes} (AGENTFLOW_MAX_INPUT_BYTES)"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the input in {name!r} is no UTF-8: {error.reason} at byte {error.start}") from error
