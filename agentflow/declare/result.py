"""Results: what a function of the user's returned, as JSON data by the type that it says it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from agentflow.domain import payload
from agentflow.domain.errors import PayloadRefused


def result_as_json(result: Any, returns: Any) -> Any:
    """Return a result as JSON data, by a function's return type; raise PayloadRefused for what is none."""
    if result is None or isinstance(result, str | bool | int | float):
        return result
    try:
        if returns is not Any and returns is not type(None) and not isinstance(result, dict | list):
            return _dumped(TypeAdapter(returns), result)
        if isinstance(result, BaseModel):
            return model_as_json(result)
        return to_jsonable_python(result, inf_nan_mode="constants")
    except PayloadRefused:
        raise
    except Exception as error:
        if _is_plain(result):
            # Half a surrogate pair in a key stops pydantic; it is replaced when the result is stored.
            return result
        raise PayloadRefused(f"a {type(result).__name__} is no JSON data: {error}") from error


def model_as_json(model: BaseModel) -> Any:
    """Return a pydantic model as JSON data; raise PayloadRefused or ValueError for one that is none."""
    return _dumped(TypeAdapter(type(model)), model)


def _dumped(adapter: TypeAdapter[Any], value: Any) -> Any:
    as_json = adapter.dump_python(value, mode="json")
    if _lost_number(adapter.dump_python(value, mode="python"), as_json):
        raise PayloadRefused("it holds a NaN or an Infinity, which JSON has not; give null or a string")
    return as_json


def _lost_number(plain: Any, as_json: Any) -> bool:
    """Whether pydantic has made a null of a number that JSON has not, as it does where a field's type is Any."""
    match plain:
        case float():
            return as_json is None and not math.isfinite(plain)
        case Mapping() if isinstance(as_json, dict):
            return any(map(_lost_number, plain.values(), as_json.values()))
        case list() | tuple() if isinstance(as_json, list):
            return any(map(_lost_number, plain, as_json))
        case _:
            return False


def _is_plain(value: Any) -> bool:
    try:
        payload.sanitise(value)
    except Exception:  # noqa: BLE001 - a mapping of the user's own may raise anything
        return False
    return True
