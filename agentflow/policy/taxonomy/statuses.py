"""The HTTP half of the taxonomy: from a status, its headers and its body to a kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE, excerpt
from agentflow.policy.taxonomy.kinds import UNPROCESSED, happened_by
from agentflow.policy.taxonomy.retry_after import read_retry_after

KINDS: Mapping[int, ErrorKind] = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.AUTH,
    429: ErrorKind.RATE_LIMITED,
    **dict.fromkeys(UNPROCESSED, ErrorKind.TRANSIENT),
}
"""Every other status is `bad_input` below 500, and `transient` from there on."""

NO_CREDIT: Mapping[int, tuple[str, ...]] = {
    # A bank's own 400 may say "credit balance is too low" of its customer: there, only the whole sentence counts.
    **dict.fromkeys(
        (400, 403, 429),
        ("insufficient_quota", "billing_hard_limit_reached", "credit balance is too low to access the"),
    ),
    429: ("insufficient_quota", "billing_hard_limit_reached", "credit balance is too low"),
}
"""Words by which OpenAI and Anthropic say that waiting won't help: somebody has to pay first."""


def classify_status(status: int, headers: Mapping[str, str], body: str, *, now: datetime) -> Failed | None:
    """The failure that an HTTP answer is, or None for one that is none (below 400)."""
    if status < HTTPStatus.BAD_REQUEST:
        return None
    kind = _kind(status, body)
    return Failed(
        kind,
        excerpt(_describe(status, body)),
        happened=happened_by(kind, status),
        status=status,
        retry_after_s=read_retry_after(headers, now),
    )


def _kind(status: int, body: str) -> ErrorKind:
    said = body[:MAX_MESSAGE].lower()
    if any(words in said for words in NO_CREDIT.get(status, ())):
        return ErrorKind.QUOTA
    return KINDS.get(status) or (
        ErrorKind.BAD_INPUT if status < HTTPStatus.INTERNAL_SERVER_ERROR else ErrorKind.TRANSIENT
    )


def _describe(status: int, body: str) -> str:
    phrase = f" {HTTPStatus(status).phrase}" if status in list(HTTPStatus) else ""
    said = body.strip()
    return f"HTTP {status}{phrase}: {said}" if said else f"HTTP {status}{phrase}"
