"""What a webhook was answered: what is kept of it, and which failure it is."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import datetime
from typing import Any

import httpx2

from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.policy.taxonomy import classify_status

MAX_KEPT = 2_048
"""Bytes of an answer's body that are read and kept."""

KEPT_HEADERS = ("content-type", "retry-after")


def read_answer(response: httpx2.Response, *, now: datetime) -> dict[str, Any]:
    """Return `status`, the start of the `body` and some `headers` of a yes.

    Any other answer is a ToolError by the taxonomy of HTTP statuses; a redirect is `bad_input`.
    """
    status, text = response.status_code, _read_start(response)
    if response.is_success:
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        return {"status": status, "body": text, "headers": kept}
    failed = classify_status(status, response.headers, text, now=now)
    if failed is None:
        to = response.headers.get("location", "nowhere")[:MAX_KEPT]
        message = f"answered {status} with a redirect to {to!r}; webhooks follow none: give the final url"
        raise ToolError(message, kind=ErrorKind.BAD_INPUT, happened=False, status=status)
    raise ToolError(
        failed.message, kind=failed.kind, happened=failed.happened, status=status, retry_after_s=failed.retry_after_s
    )


def _read_start(response: httpx2.Response) -> str:
    start = b""
    # An answer whose body breaks off is an answer all the same.
    with closing(response), suppress(httpx2.TransportError):
        for part in response.iter_raw():
            start += part
            if len(start) >= MAX_KEPT:
                break
    return start[:MAX_KEPT].decode(errors="replace")
