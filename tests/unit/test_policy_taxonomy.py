from __future__ import annotations

import errno
import http.client
import importlib
import json
import socket
import ssl
import subprocess
import sys
import urllib.error
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from xml.etree import ElementTree as ET

import anthropic
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3
from billiard.exceptions import SoftTimeLimitExceeded  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from agentflow.domain.errors import ModelError, ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.policy.taxonomy import classify_error
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE
from agentflow.policy.taxonomy.table import SAME_NAMES, TABLE

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
NO, MAYBE = False, None
POOL: Any = None
REQUEST = httpx2.Request("POST", "http://there/")
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate has expired")


def classify(error: BaseException) -> Failed:
    return classify_error(error, now=NOW)


def raised_from(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def gave_up(reason: Exception) -> requests.ConnectionError:
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(POOL, "/", reason))


BUILTINS = [
    (ConnectionRefusedError(), "transient", NO),
    (ConnectionResetError(), "transient", MAYBE),
    (ConnectionAbortedError(), "transient", MAYBE),
    (BrokenPipeError(), "transient", MAYBE),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "transient", MAYBE),
    (socket.gaierror(-2, "Name or service not known"), "transient", NO),
    (TimeoutError(), "timeout", MAYBE),
    (ssl.SSLEOFError(8, "EOF"), "transient", MAYBE),
    (CERTIFICATE, "bug", NO),
    (http.client.RemoteDisconnected(""), "transient", MAYBE),
    (http.client.IncompleteRead(b""), "transient", MAYBE),
    (http.client.BadStatusLine(""), "transient", MAYBE),
    (http.client.InvalidURL(), "bug", NO),
    (http.client.CannotSendRequest(), "bug", NO),
    (json.JSONDecodeError("Expecting value", "", 0), "malformed", MAYBE),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "malformed", MAYBE),
    (ET.ParseError("no element found"), "malformed", MAYBE),
    (urllib.error.URLError(ConnectionRefusedError()), "transient", NO),
    (urllib.error.URLError(socket.gaierror()), "transient", NO),
    (urllib.error.URLError(TimeoutError()), "timeout", MAYBE),
    (urllib.error.URLError(CERTIFICATE), "bug", NO),
    (urllib.error.URLError("no host given"), "transient", MAYBE),
    (SoftTimeLimitExceeded(), "timeout", MAYBE),
    (KeyError("x"), "bug", MAYBE),
    (OSError(errno.ENOSPC, "No space left on device"), "bug", MAYBE),
    (KeyboardInterrupt(), "bug", MAYBE),
]

HTTPX = [
    ("ConnectError", "transient", NO),
    ("ProxyError", "transient", NO),
    ("ConnectTimeout", "timeout", NO),
    ("PoolTimeout", "timeout", NO),
    ("ReadTimeout", "timeout", MAYBE),
    ("WriteTimeout", "timeout", MAYBE),
    ("ReadError", "transient", MAYBE),
    ("WriteError", "transient", MAYBE),
    ("CloseError", "transient", MAYBE),
    ("RemoteProtocolError", "transient", MAYBE),
    ("LocalProtocolError", "bug", NO),
    ("UnsupportedProtocol", "bug", NO),
    ("InvalidURL", "bug", NO),
    ("TooManyRedirects", "bug", MAYBE),
    ("DecodingError", "malformed", MAYBE),
]

REQUESTS = [
    (requests.ConnectTimeout(), "timeout", NO),
    (requests.ReadTimeout(), "timeout", MAYBE),
    (gave_up(urllib3.exceptions.NewConnectionError(POOL, "refused")), "transient", NO),
    (gave_up(urllib3.exceptions.NameResolutionError("there", POOL, socket.gaierror())), "transient", NO),
    (gave_up(urllib3.exceptions.ReadTimeoutError(POOL, "/", "timed out")), "timeout", MAYBE),
    (requests.ConnectionError(urllib3.exceptions.ProtocolError("aborted", ConnectionResetError())), "transient", MAYBE),
    (requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(POOL, "/", "timed out")), "timeout", MAYBE),
    (requests.ConnectionError("who knows"), "transient", MAYBE),
    (requests.exceptions.ProxyError(), "transient", NO),
    (requests.exceptions.SSLError(urllib3.exceptions.SSLError(CERTIFICATE)), "bug", NO),
    (requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLError(1, "eof"))), "transient", MAYBE),
    (requests.exceptions.ChunkedEncodingError(), "transient", MAYBE),
    (requests.exceptions.RetryError(), "transient", MAYBE),
    (requests.exceptions.ContentDecodingError(), "malformed", MAYBE),
    (requests.exceptions.JSONDecodeError("Expecting value", "", 0), "malformed", MAYBE),
    (requests.exceptions.InvalidJSONError(), "bug", NO),
    (requests.exceptions.MissingSchema(), "bug", NO),
    (requests.exceptions.InvalidHeader(), "bug", NO),
    (requests.exceptions.InvalidProxyURL(), "bug", NO),
    (requests.TooManyRedirects(), "bug", MAYBE),
    (requests.HTTPError("raised by hand"), "bug", MAYBE),
]

OTHERS = [
    (urllib3.exceptions.NewConnectionError(POOL, "refused"), "transient", NO),
    (urllib3.exceptions.ConnectTimeoutError(), "timeout", NO),
    (urllib3.exceptions.EmptyPoolError(POOL, "full"), "timeout", NO),
    (urllib3.exceptions.ReadTimeoutError(POOL, "/", "timed out"), "timeout", MAYBE),
    (urllib3.exceptions.ProtocolError(), "transient", MAYBE),
    (urllib3.exceptions.DecodeError(), "malformed", MAYBE),
    (urllib3.exceptions.LocationParseError("x"), "bug", NO),
    (openai.APIConnectionError(request=REQUEST), "transient", MAYBE),
    (raised_from(openai.APIConnectionError(request=REQUEST), httpx2.ConnectError("refused")), "transient", NO),
    (raised_from(anthropic.APITimeoutError(request=REQUEST), httpx2.ReadTimeout("late")), "timeout", MAYBE),
    (raised_from(anthropic.APITimeoutError(request=REQUEST), httpx2.ConnectTimeout("late")), "timeout", NO),
    (
        openai.RateLimitError("slow down", response=httpx2.Response(429, request=REQUEST), body=None),
        "rate_limited",
        NO,
    ),
]


@pytest.mark.parametrize(("error", "kind", "happened"), [*BUILTINS, *REQUESTS, *OTHERS], ids=repr)
def test_each_exception_has_its_kind_and_its_word_on_whether_it_happened(
    error: BaseException, kind: str, happened: bool | None
) -> None:
    failed = classify(error)
    assert (failed.kind, failed.happened) == (kind, happened)


@pytest.mark.parametrize("package", [httpx2, httpx], ids=lambda package: package.__name__)
@pytest.mark.parametrize(("name", "kind", "happened"), HTTPX, ids=[name for name, *_ in HTTPX])
def test_both_httpx_have_the_same_rows(package: Any, name: str, kind: str, happened: bool | None) -> None:
    failed = classify(getattr(package, name)("said"))
    assert (failed.kind, failed.happened, failed.message) == (kind, happened, f"{name}: said")


@pytest.mark.parametrize("package", [httpx2, httpx], ids=lambda package: package.__name__)
def test_a_wrong_certificate_is_not_tried_again_however_deep_it_lies(package: Any) -> None:
    failed = classify(raised_from(package.ConnectError("x"), raised_from(RuntimeError("transport"), CERTIFICATE)))
    assert (failed.kind, failed.happened) == ("bug", False)


@pytest.mark.parametrize("package", [httpx2, httpx], ids=lambda package: package.__name__)
def test_an_answer_that_was_raised_is_read_by_its_status_headers_and_body(package: Any) -> None:
    request = package.Request("POST", "http://there/")
    response = package.Response(429, headers={"Retry-After": "7"}, text="too fast", request=request)
    failed = classify(package.HTTPStatusError("x", request=request, response=response))
    assert failed == Failed(
        "rate_limited", "HTTP 429 Too Many Requests: too fast", False, status=429, retry_after_s=7.0
    )


def test_a_redirect_that_was_raised_may_have_happened() -> None:
    response = httpx2.Response(302, request=REQUEST)
    failed = classify(httpx2.HTTPStatusError("a redirect", request=REQUEST, response=response))
    assert (failed.kind, failed.happened, failed.message) == ("bug", None, "HTTPStatusError: a redirect")


def test_an_error_of_urllib_is_its_own_answer() -> None:
    headers = Message()
    headers["retry-after"] = "3"
    with urllib.error.HTTPError("http://there/", 503, "Unavailable", headers, None) as error:
        failed = classify(error)
    assert (failed.kind, failed.happened, failed.status, failed.retry_after_s) == ("transient", False, 503, 3.0)


def test_a_body_that_was_not_read_stays_unread() -> None:
    response = httpx2.Response(500, stream=httpx2.ByteStream(b"never"), request=REQUEST)
    failed = classify(httpx2.HTTPStatusError("x", request=REQUEST, response=response))
    assert failed.message == "HTTP 500 Internal Server Error"
    assert not response.is_stream_consumed


def test_an_exception_of_the_users_own_is_found_by_its_base() -> None:
    class Gone(httpx2.ReadTimeout):
        pass

    assert classify(Gone("late")).kind == "timeout"


def test_an_exception_of_the_users_own_is_not_what_caused_it() -> None:
    assert classify(raised_from(LookupError("no such order"), ConnectionRefusedError())).kind == "bug"


@pytest.mark.parametrize("said", [True, False, None])
def test_a_tools_error_has_the_tools_own_words(said: bool | None) -> None:
    failed = classify(ToolError("later", happened=said, kind="transient", status=500, retry_after_s=4))
    assert failed == Failed("transient", "later", said, status=500, retry_after_s=4.0)


@pytest.mark.parametrize(
    ("error", "happened"),
    [
        (ToolError("no"), MAYBE),
        (ToolError("no", kind="transient"), MAYBE),
        (ToolError("no", kind="transient", status=503), NO),
        (ToolError("no", kind="rate_limited"), NO),
        (ToolError("no", kind="rate_limited", happened=True), True),
        (ToolError("no", kind="bad_input"), NO),
    ],
)
def test_a_tool_that_says_nothing_of_its_effect_is_taken_by_kind_and_status(
    error: ToolError, happened: bool | None
) -> None:
    assert classify(error).happened is happened


@pytest.mark.parametrize("kind", [*ErrorKind, *(str(kind) for kind in ErrorKind)])
def test_a_tool_may_name_every_kind(kind: str) -> None:
    assert classify(ToolError("no", kind=kind)).kind == kind


@pytest.mark.parametrize("kind", ["", "Transient", "fatal", None, 3, []], ids=repr)
def test_a_kind_that_is_none_is_refused_with_the_words(kind: Any) -> None:
    with pytest.raises(ValueError, match="is no kind of failure: give one of transient, rate_limited"):
        ToolError("no", kind=kind)


@pytest.mark.parametrize(
    ("kind", "status", "happened"),
    [
        ("transient", None, MAYBE),
        ("transient", 500, MAYBE),
        ("transient", 502, MAYBE),
        ("transient", 503, NO),
        ("transient", 504, MAYBE),
        ("transient", 529, NO),
        ("timeout", None, MAYBE),
        ("malformed", 200, MAYBE),
        ("rate_limited", 429, NO),
        ("auth", None, NO),
        ("quota", 429, NO),
        ("context_overflow", 400, NO),
        ("refused", 400, NO),
        ("bad_input", 400, NO),
    ],
)
def test_a_models_error_keeps_its_kind(kind: str, status: int | None, happened: bool | None) -> None:
    failed = classify(ModelError("said", kind=kind, status=status, retry_after_s=2))
    assert failed == Failed(kind, "said", happened, status=status, retry_after_s=2.0)


def test_a_models_error_of_an_unknown_kind_is_a_bug() -> None:
    assert classify(ModelError("said", kind="odd")).kind == "bug"


@pytest.mark.parametrize("wish", [-1, 0, float("nan"), float("inf"), "7", None], ids=repr)
def test_a_wish_that_cannot_be_granted_is_no_wish(wish: Any) -> None:
    assert classify(ToolError("no", retry_after_s=wish)).retry_after_s is None


@pytest.mark.parametrize("status", [0, -1, 10**40, "503", [], 2.5], ids=repr)
def test_a_status_that_is_none_is_left_out(status: Any) -> None:
    assert classify(ToolError("no", status=status)).status is None


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_that_cannot_be_printed_has_its_type() -> None:
    assert classify(Unprintable()).message == "Unprintable"


@pytest.mark.parametrize("error", [ValueError("x" * 10_000_000), ToolError("x" * 10_000_000)], ids=["bug", "tool"])
def test_a_text_of_ten_megabytes_is_cut_and_says_so(error: Exception) -> None:
    message = classify(error).message
    assert len(message) == MAX_MESSAGE
    assert message.endswith("xxx... (the rest is left out)")


def test_exceptions_that_lie_within_each_other_come_to_an_end() -> None:
    outer, inner = requests.ConnectionError(), urllib3.exceptions.MaxRetryError(POOL, "/")
    outer.args, inner.args = (inner, outer), (outer, inner)
    assert classify(outer).kind == "transient"


@given(st.text(), st.integers(), st.one_of(st.floats(), st.none()))
def test_whatever_a_tool_says_its_failure_is_bounded(text: str, status: int, wish: float | None) -> None:
    failed = classify(ToolError(text, kind="transient", status=status, retry_after_s=wish))
    assert len(failed.message) <= MAX_MESSAGE
    assert failed.retry_after_s is None or 0 < failed.retry_after_s <= 3600


PLACES = {
    "http": "http.client",
    "urllib": "urllib.error",
    "billiard": "billiard.exceptions",
    "requests": "requests.exceptions",
    "urllib3": "urllib3.exceptions",
    "xml": "xml.etree.ElementTree",
}


@pytest.mark.parametrize(("package", "names"), [(package, names) for _, package, names in TABLE])
def test_every_name_of_the_table_is_an_exception_that_exists(package: str, names: str) -> None:
    same = [other for other, first in SAME_NAMES.items() if first == package and other != "simplejson"]
    for each in [package, *same]:
        module = importlib.import_module(PLACES.get(each, each))
        assert all(issubclass(getattr(module, name), Exception) for name in names.split())


def test_no_client_is_imported_to_know_its_errors() -> None:
    clients = "{'httpx', 'httpx2', 'requests', 'urllib3', 'openai', 'anthropic', 'billiard'}"
    program = f"import sys, agentflow.policy.taxonomy; print(sorted({clients} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
