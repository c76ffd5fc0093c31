"""A hint as a message: what kombu's transport over Redis reads, with a task of Celery's second protocol in it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from agentflow.domain.hint import About, Hint

_ABOUT = "agentflow_about"


def message_of(hint: Hint) -> bytes:
    """Return the message that makes a worker run the hint's task; each call gives a task of its own."""
    task_id = str(uuid.uuid4())
    kwargs = ids_of(hint)
    headers = {
        "lang": "py",
        "task": hint.task_name,
        "id": task_id,
        "root_id": task_id,
        # What Flower shows; a worker does not write it anew.
        "argsrepr": "()",
        "kwargsrepr": repr(kwargs),
        "ignore_result": True,
    }
    if hint.about is not None:
        # A header: workers of older releases overlook it, where an argument would be one too many.
        headers[_ABOUT] = astuple(hint.about)
    return envelope(task_body(kwargs), headers, exchange="", routing_key=hint.queue, tag=task_id)


def about_in(headers: Mapping[str, Any]) -> About | None:
    """Return what a message's headers say about its step; None where they say nothing that can be read."""
    match headers.get(_ABOUT):
        case [str(agent), str(tool_name), str() | None as bulkhead]:
            return About(agent, tool_name, bulkhead)
    return None


def ids_of(hint: Hint) -> dict[str, str | int]:
    """Return the arguments of the hint's task."""
    ids = {"run_id": hint.run_id, "step_index": hint.step_index}
    return {name: value for name, value in ids.items() if value is not None}


def task_body(kwargs: dict[str, str | int]) -> list[Any]:
    """Return the body of a task: no positional arguments, and nothing that follows it."""
    return [[], kwargs, {}]


def envelope(body: object, headers: dict[str, Any], *, exchange: str, routing_key: str, tag: str) -> bytes:
    """Return a message as kombu's transport writes it; `tag` names it among all that a worker holds."""
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": exchange, "routing_key": routing_key},
                "delivery_tag": tag,
                "priority": 0,
            },
        }
    ).encode()


def ids_in(text: bytes | str) -> tuple[str, int | None]:
    """Return run and step of a hint's message; raise LookupError for any other."""
    try:
        body = json.loads(base64.b64decode(json.loads(text)["body"]))
        kwargs = body[1]
        step_index = kwargs.get("step_index")
        return str(uuid.UUID(kwargs["run_id"])), None if step_index is None else int(step_index)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise LookupError(f"a message that is no hint stands in the queue: {error}") from error
