"""Checking a submission's input against what workers have registered, without the agent's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from agentflow.domain import payload
from agentflow.domain.errors import InputTooLarge, InvalidInput, PayloadRefused

_LONGEST_PART = 40


def checked_input(agent: str, value: Any, schema: Mapping[str, Any], most_bytes: int) -> payload.Payload:
    """Return an input that may be stored; raise InvalidInput with the place, or InputTooLarge with the limit."""
    try:
        clean = payload.sanitise(value)
    except PayloadRefused as error:
        raise InvalidInput(f"the input cannot be stored: {error}") from error
    size = len(payload.dumps(clean.value).encode())
    if size > most_bytes:
        raise InputTooLarge(f"the input is {size} bytes; the limit is {most_bytes} (AGENTFLOW_MAX_INPUT_BYTES)")
    if schema:
        errors = sorted(Draft202012Validator(dict(schema)).iter_errors(clean.value), key=lambda each: list(each.path))
        if errors:
            lines = "; ".join(f"{_place(each.absolute_path)}: {each.message[:200]}" for each in errors[:3])
            raise InvalidInput(f"the input of {agent!r} does not fit its schema: {lines}")
    return clean


def _place(path: Any) -> str:
    return ".".join(str(part)[:_LONGEST_PART] for part in path) or "input"
