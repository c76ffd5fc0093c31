"""What the vendors' libraries raise, in the words of the failure taxonomy."""

from __future__ import annotations

from typing import Any

from pydantic_ai import exceptions as vendor

from agentflow.domain.errors import ModelError, RecordingDeviated
from agentflow.llm.recorded import RecordingEnded

MAX_TEXT = 8_000

REFUSAL_CODES = {"content_filter", "content_policy_violation"}

KINDS: tuple[tuple[type[Exception], str], ...] = (
    (vendor.ModelQuotaExceededError, "quota"),
    (vendor.ModelRateLimitError, "rate_limited"),
    (vendor.ModelContextWindowExceededError, "context_overflow"),
    (vendor.ModelAuthenticationError, "auth"),
    (vendor.ModelTimeoutError, "timeout"),
    (vendor.ModelRequestTimeout, "timeout"),
    (vendor.ModelConnectionError, "transient"),
    (vendor.ModelUnavailableError, "transient"),
    (vendor.ModelServerError, "transient"),
    (vendor.ContentFilterError, "refused"),
    (vendor.UserError, "bad_input"),
    (UnicodeEncodeError, "bad_input"),
)
"""The first row that fits; what fits none has a status, or is an answer that could not be read."""


def translate_error(error: Exception, model: str) -> ModelError:
    """The ModelError for whatever a request raised; what nobody foresaw is `malformed`."""
    status: int | None = getattr(error, "status_code", None)
    code = getattr(error, "provider_error_code", None)
    text = _text(error)
    if code == "recording_deviated":
        return RecordingDeviated(text)
    if code == "recording_ended":
        return RecordingEnded(text)
    place = f"HTTP {status} from the model {model!r}" if status else f"The model {model!r}"
    kind, wish = _kind(error, status, code), getattr(error, "retry_after", None)
    return ModelError(f"{place}: {text[:MAX_TEXT]}", kind=kind, status=status, retry_after_s=wish)


def _kind(error: Exception, status: int | None, code: str | None) -> str:
    if code in REFUSAL_CODES:
        return "refused"
    for family, kind in KINDS:
        if isinstance(error, family):
            return kind
    if status is None:
        return "malformed"
    return "transient" if status in (408, 425) or status >= 500 else "bad_input"


def _text(error: Exception) -> str:
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error")
        message = (inner if isinstance(inner, dict) else body).get("message")
        if isinstance(message, str) and message:
            return message
    return str(error) or type(error).__name__
