"""Kinds of failure: the words of the taxonomy, by which everything that went wrong is answered."""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """What kind of failure an attempt met. Whether its effect took place is asked apart from it."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    BAD_INPUT = "bad_input"
    TIMEOUT = "timeout"
    QUOTA = "quota"
    CONTEXT_OVERFLOW = "context_overflow"
    REFUSED = "refused"
    MALFORMED = "malformed"
    BUG = "bug"
    POISON = "poison"
    TOOL_ERROR = "tool_error"
    BAD_OUTPUT = "bad_output"
    SCRATCHPAD_CONFLICT = "scratchpad_conflict"
    LOST = "lost"
    UNCONFIRMED = "unconfirmed"
