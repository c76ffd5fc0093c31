"""The table of exceptions: what each class of each client says of the failure and of "did it happen?"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentflow.domain.failure import ErrorKind


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What an exception is. One that `wraps` others is what they are, and this only where nothing is known of them."""

    kind: ErrorKind
    happened: bool | None
    wraps: bool = False


NEVER_SENT = Row(ErrorKind.TRANSIENT, happened=False)
CUT = Row(ErrorKind.TRANSIENT, happened=None)
CUT_OR_NEVER_SENT = Row(ErrorKind.TRANSIENT, happened=None, wraps=True)
NO_CONNECTION_IN_TIME = Row(ErrorKind.TIMEOUT, happened=False)
NO_ANSWER_IN_TIME = Row(ErrorKind.TIMEOUT, happened=None)
NOT_IN_TIME = Row(ErrorKind.TIMEOUT, happened=None, wraps=True)
UNREADABLE = Row(ErrorKind.MALFORMED, happened=None)
CERTIFICATE = Row(ErrorKind.BUG, happened=False)
UNSENDABLE = Row(ErrorKind.BUG, happened=False)
UNFORESEEN = Row(ErrorKind.BUG, happened=None)
ANSWERED = Row(ErrorKind.BUG, happened=None)
"""By the status of the answer that it carries; an answer below 400 that is raised all the same is nobody's plan."""

TABLE: tuple[tuple[Row, str, str], ...] = (
    (NEVER_SENT, "builtins", "ConnectionRefusedError"),
    (CUT, "builtins", "ConnectionError"),
    (NO_ANSWER_IN_TIME, "builtins", "TimeoutError"),
    (UNREADABLE, "builtins", "UnicodeDecodeError"),
    (NEVER_SENT, "socket", "gaierror herror"),
    (CERTIFICATE, "ssl", "SSLCertVerificationError"),
    (CUT, "ssl", "SSLError"),
    (UNREADABLE, "json", "JSONDecodeError"),
    (UNREADABLE, "xml", "ParseError"),
    (CUT, "http", "HTTPException"),
    (UNSENDABLE, "http", "InvalidURL ImproperConnectionState"),
    (ANSWERED, "urllib", "HTTPError"),
    (CUT_OR_NEVER_SENT, "urllib", "URLError"),
    (NO_ANSWER_IN_TIME, "billiard", "SoftTimeLimitExceeded"),
    (NEVER_SENT, "httpx", "ConnectError ProxyError"),
    (NO_CONNECTION_IN_TIME, "httpx", "ConnectTimeout PoolTimeout"),
    (NO_ANSWER_IN_TIME, "httpx", "TimeoutException"),
    (UNSENDABLE, "httpx", "UnsupportedProtocol InvalidURL LocalProtocolError"),
    (UNFORESEEN, "httpx", "TooManyRedirects"),
    (UNREADABLE, "httpx", "DecodingError"),
    (ANSWERED, "httpx", "HTTPStatusError"),
    (CUT, "httpx", "TransportError"),
    (NO_CONNECTION_IN_TIME, "requests", "ConnectTimeout"),
    (NO_ANSWER_IN_TIME, "requests", "Timeout"),
    (NEVER_SENT, "requests", "ProxyError"),
    (CUT_OR_NEVER_SENT, "requests", "ConnectionError SSLError"),
    (CUT, "requests", "ChunkedEncodingError RetryError"),
    (UNSENDABLE, "requests", "URLRequired MissingSchema InvalidSchema InvalidURL InvalidHeader InvalidJSONError"),
    (UNFORESEEN, "requests", "TooManyRedirects"),
    (UNREADABLE, "requests", "ContentDecodingError JSONDecodeError"),
    (ANSWERED, "requests", "HTTPError"),
    (NEVER_SENT, "urllib3", "NewConnectionError ProxyError"),
    (NO_CONNECTION_IN_TIME, "urllib3", "ConnectTimeoutError EmptyPoolError"),
    (NO_ANSWER_IN_TIME, "urllib3", "TimeoutError"),
    (CUT_OR_NEVER_SENT, "urllib3", "MaxRetryError SSLError"),
    (CUT, "urllib3", "ProtocolError IncompleteRead InvalidChunkLength"),
    (UNSENDABLE, "urllib3", "LocationValueError"),
    (UNREADABLE, "urllib3", "DecodeError"),
    (ANSWERED, "openai", "APIStatusError"),
    (NOT_IN_TIME, "openai", "APITimeoutError"),
    (CUT_OR_NEVER_SENT, "openai", "APIConnectionError"),
    (UNREADABLE, "openai", "APIResponseValidationError"),
)
"""A class is found by its package and its name, whatever module it lives in; its nearest base with a row counts."""

SAME_NAMES: Mapping[str, str] = {"httpx2": "httpx", "anthropic": "openai", "simplejson": "json"}
"""Packages whose exceptions are called as those of another."""
