"""What the vendors' libraries raise, in the words of the failure taxonomy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import exceptions as vendor

from agentflow.domain.errors import ModelError, RecordingDeviated
from agentflow.llm.recorded import RecordingEnded
from agentflow.policy.taxonomy.excerpt import excerpt
from agentflow.policy.taxonomy.kinds import known_status
from agentflow.policy.taxonomy.retry_after import bound_wish, read_retry_after
from agentflow.policy.taxonomy.statuses import classify_status

REFUSAL_CODES = {"content_filter", "content_policy_violation"}

Families = tuple[tuple[type[Exception], str], ...]

SAID_BY_THE_PROVIDER: Families = (
    (vendor.ModelQuotaExceededError, "quota"),
    (vendor.ModelContextWindowExceededError, "context_overflow"),
    (vendor.ContentFilterError, "refused"),
)
"""What a provider's own code says, whatever the status."""

WITHOUT_STATUS: Families = (
    (vendor.ModelRateLimitError, "rate_limited"),
    (vendor.ModelAuthenticationError, "auth"),
    (vendor.ModelTimeoutError, "timeout"),
    (vendor.ModelRequestTimeout, "timeout"),
    (vendor.ModelConnectionError, "transient"),
    (vendor.ModelUnavailableError, "transient"),
    (vendor.ModelServerError, "transient"),
    (vendor.UserError, "bad_input"),
    (UnicodeEncodeError, "bad_input"),
)
"""The first row that fits; what fits none is an answer that could not be read."""


def translate_error(error: Exception, model: str) -> ModelError:
    """The ModelError for whatever a request raised; what nobody foresaw is `malformed`."""
    status = known_status(getattr(error, "status_code", None))
    code = getattr(error, "provider_error_code", None)
    text = _text(error)
    if code == "recording_deviated":
        return RecordingDeviated(text)
    if code == "recording_ended":
        return RecordingEnded(text)
    place = f"HTTP {status} from the model {model!r}" if status else f"The model {model!r}"
    kind, wish = _kind(error, status, code, text), _wish(error)
    return ModelError(excerpt(f"{place}: {text}"), kind=kind, status=status, retry_after_s=wish)


def _kind(error: Exception, status: int | None, code: str | None, text: str) -> str:
    if code in REFUSAL_CODES:
        return "refused"
    said = f"{code} {getattr(error, 'provider_error_type', None)} {text}"
    failed = None if status is None else classify_status(status, {}, said, now=datetime.now(UTC))
    by_status = None if failed is None else failed.kind
    return _family(error, SAID_BY_THE_PROVIDER) or by_status or _family(error, WITHOUT_STATUS) or "malformed"


def _family(error: Exception, families: Families) -> str | None:
    return next((kind for family, kind in families if isinstance(error, family)), None)


def _wish(error: Exception) -> float | None:
    # Read here and not by the vendor's library, which takes a year at its word and 1.5 seconds for none.
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    wish = read_retry_after(headers, datetime.now(UTC))
    return bound_wish(getattr(error, "retry_after", None)) if wish is None and not headers else wish


def _text(error: Exception) -> str:
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error")
        message = (inner if isinstance(inner, dict) else body).get("message")
        if isinstance(message, str) and message:
            return message
    return str(error) or type(error).__name__
