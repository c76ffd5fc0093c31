"""The exceptions' half of the taxonomy: the walk over the table, from an exception to the failure that it is."""

from __future__ import annotations

import errno
from datetime import datetime
from typing import Any

from agentflow.domain.errors import ModelError, ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE, describe, text_of
from agentflow.policy.taxonomy.kinds import happened_by, known_kind, known_status
from agentflow.policy.taxonomy.retry_after import bound_wish
from agentflow.policy.taxonomy.statuses import classify_status
from agentflow.policy.taxonomy.table import ANSWERED, CERTIFICATE, CUT, SAME_NAMES, TABLE, UNFORESEEN, Row

MAX_LAYERS = 16
"""Exceptions within exceptions that are looked at."""

_ROWS = {(package, name): row for row, package, names in TABLE for name in names.split()}

_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def classify_error(error: BaseException, *, now: datetime) -> Failed:
    """The failure that an exception is."""
    if isinstance(error, ToolError):
        said = happened_by(error.kind, error.status) if error.happened is None else error.happened
        return _told(error, error.kind, happened=said)
    if isinstance(error, ModelError):
        kind = known_kind(error.kind) or ErrorKind.BUG
        return _told(error, kind, happened=happened_by(kind, error.status))
    row = find_row(error)
    answered = _classify_answer(error, now) if row is ANSWERED else None
    return answered or Failed(row.kind, describe(error), row.happened)


def find_row(error: BaseException) -> Row:
    """The row of an exception, UNFORESEEN where there is none."""
    outer = _row(error)
    if outer is None:
        return UNFORESEEN
    rows = [row for row in map(_row, _layers(error)) if row is not None]
    if CERTIFICATE in rows:
        return CERTIFICATE  # whatever the client calls it: trying again mends no certificate
    return next((row for row in rows if not row.wraps), outer)


def _row(error: BaseException) -> Row | None:
    for family in type(error).__mro__:
        package = family.__module__.partition(".")[0]
        row = _ROWS.get((SAME_NAMES.get(package, package), family.__name__))
        if row is not None:
            return row
    return CUT if isinstance(error, OSError) and error.errno in _UNREACHABLE else None


def _layers(error: BaseException) -> list[BaseException]:
    """The exception, and those that its client put into it: as the cause, the reason or an argument."""
    layers: list[BaseException] = []
    waiting = [error]
    while waiting and len(layers) < MAX_LAYERS:
        outer = waiting.pop(0)
        layers.append(outer)
        within = (outer.__cause__, vars(outer).get("reason"), *outer.args)
        waiting.extend(inner for inner in within if isinstance(inner, BaseException))
    return layers


def _told(error: ToolError | ModelError, kind: str, *, happened: bool | None) -> Failed:
    wish = bound_wish(error.retry_after_s)
    return Failed(kind, text_of(error), happened, status=known_status(error.status), retry_after_s=wish)


def _classify_answer(error: BaseException, now: datetime) -> Failed | None:
    response: Any = vars(error).get("response")
    status = known_status(getattr(response, "status_code", None))
    if response is None:
        # urllib's error is its own response.
        response, status = error, known_status(vars(error).get("code"))
    if status is None:
        return None
    return classify_status(status, getattr(response, "headers", None) or {}, _body(response), now=now)


def _body(response: Any) -> str:
    # What httpx2, httpx and requests have read is there under this name. Their public attributes would read a stream
    # here and now, or refuse to.
    content = getattr(response, "_content", None)
    return content[: 4 * MAX_MESSAGE].decode(errors="replace") if isinstance(content, bytes) else ""
