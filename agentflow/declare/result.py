"""Results: what a function of the user's returned, as JSON data by the type that it says it returns."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from agentflow.domain.errors import PayloadRefused


def result_as_json(result: Any, returns: Any) -> Any:
    """Return a result as JSON data, by a function's return type; raise PayloadRefused for what is none."""
    if result is None or isinstance(result, str | bool | int | float):
        return result
    try:
        if returns is not Any and returns is not type(None) and not isinstance(result, dict | list):
            return TypeAdapter(returns).dump_python(result, mode="json")
        return to_jsonable_python(result, inf_nan_mode="constants")
    except Exception as error:
        raise PayloadRefused(f"a {type(result).__name__} is no JSON data: {error}") from error
