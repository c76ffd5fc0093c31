"""The mapping that a user plugs in before the table: what the exceptions of some vendor's library are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.policy.taxonomy.exceptions import classify_error
from agentflow.policy.taxonomy.excerpt import describe, excerpt
from agentflow.policy.taxonomy.kinds import happened_by, known_kind
from agentflow.policy.taxonomy.retry_after import bound_wish

Classifier = Callable[[Exception], Failed | ToolError | ErrorKind | str | None]
"""Answers a kind, a whole failure, a `ToolError` in the place of the exception, or None: the table knows it."""


def classify_with(custom: Classifier | None, error: BaseException, *, now: datetime) -> Failed:
    """The failure that an exception is by the user's mapping, and by the table where that has nothing to say.

    A mapping that raises, or answers what is no answer, is a bug in itself; whether the call happened is still told
    by the table.
    """
    by_table = classify_error(error, now=now)
    if custom is None or not isinstance(error, Exception):
        return by_table
    try:
        answer = custom(error)
        return by_table if answer is None else _read(custom, answer, by_table, now)
    except Exception as raised:  # noqa: BLE001 - a user's mapping may raise anything, and must not hide the failure
        return _misjudged(custom, f"raised {describe(raised)}", by_table)


def _read(custom: Classifier, answer: object, by_table: Failed, now: datetime) -> Failed:
    if isinstance(answer, ToolError):
        return classify_error(answer, now=now)
    if isinstance(answer, Failed) and known_kind(answer.kind):
        return replace(answer, message=excerpt(answer.message), retry_after_s=bound_wish(answer.retry_after_s))
    kind = known_kind(answer)
    if kind is None:
        words = ", ".join(ErrorKind)
        return _misjudged(custom, f"answered {answer!r}; give None, a Failed, a ToolError or one of {words}", by_table)
    said = happened_by(kind, by_table.status)
    return replace(by_table, kind=kind, happened=by_table.happened if said is None else said)


def _misjudged(custom: Classifier, why: str, by_table: Failed) -> Failed:
    name = getattr(custom, "__qualname__", type(custom).__name__)
    message = excerpt(f"the classifier {name!r} {why} (for {by_table.message})")
    return replace(by_table, kind=ErrorKind.BUG, message=message)
