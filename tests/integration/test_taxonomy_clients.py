"""What real clients raise against a real server that fails, and what the taxonomy makes of it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import httpx2
import pytest
import requests

from agentflow.domain.outcome import Failed
from agentflow.policy.taxonomy import classify_error
from agentflow.policy.taxonomy.excerpt import MAX_MESSAGE
from tests.integration.faulty import (
    Answer,
    Cut,
    CutWithin,
    Fault,
    FaultyServer,
    Hang,
    Raw,
    huge,
    refused_url,
    truncated_json,
)

Post = Callable[[str], Any]

TIMEOUT_S = 0.3

RAISED = (OSError, ValueError, httpx2.HTTPError, httpx.HTTPError)
"""What clients raise; requests' own are OSErrors."""


def with_httpx2(url: str) -> Any:
    with httpx2.Client(timeout=TIMEOUT_S) as client:
        return client.post(url, json={"order": 1}).raise_for_status().json()


def with_httpx(url: str) -> Any:
    with httpx.Client(timeout=TIMEOUT_S) as client:
        return client.post(url, json={"order": 1}).raise_for_status().json()


def with_requests(url: str) -> Any:
    with requests.Session() as session:
        response = session.post(url, json={"order": 1}, timeout=TIMEOUT_S)
        response.raise_for_status()
        return response.json()


CLIENTS = [
    pytest.param(with_httpx2, id="httpx2"),
    pytest.param(with_httpx, id="httpx"),
    pytest.param(with_requests, id="requests"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as faulty:
        yield faulty


def failure(post: Post, url: str) -> Failed:
    with pytest.raises(RAISED) as caught:
        post(url)
    return classify_error(caught.value, now=datetime.now(UTC))


NO, MAYBE = False, None

FAULTS: list[tuple[Fault, str, bool | None]] = [
    (Answer(400), "bad_input", NO),
    (Answer(401), "auth", NO),
    (Answer(402), "quota", NO),
    (Answer(403), "auth", NO),
    (Answer(404), "bad_input", NO),
    (Answer(408), "transient", NO),
    (Answer(409), "bad_input", NO),
    (Answer(413), "bad_input", NO),
    (Answer(422), "bad_input", NO),
    (Answer(425), "transient", NO),
    (Answer(429), "rate_limited", NO),
    (Answer(429, body={"error": {"code": "insufficient_quota"}}), "quota", NO),
    (Answer(500), "transient", MAYBE),
    (Answer(502), "transient", MAYBE),
    (Answer(503), "transient", NO),
    (Answer(504), "transient", MAYBE),
    (Answer(529), "transient", NO),
    (Cut(), "transient", MAYBE),
    (Cut(reset=True), "transient", MAYBE),
    (CutWithin(), "transient", MAYBE),
    (CutWithin(500), "transient", MAYBE),
    (truncated_json(), "malformed", MAYBE),
    (Answer(body=""), "malformed", MAYBE),
    (Answer(body=b"\xff\xfe{"), "malformed", MAYBE),
    (Answer(200, {"Content-Encoding": "gzip"}, "no gzip"), "malformed", MAYBE),
    (Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "transient", MAYBE),
    (Hang(), "timeout", MAYBE),
]


@pytest.mark.parametrize("post", CLIENTS)
@pytest.mark.parametrize(("fault", "kind", "happened"), FAULTS, ids=[repr(fault)[:60] for fault, *_ in FAULTS])
def test_each_fault_of_a_server_has_its_kind_through_every_client(
    server: FaultyServer, post: Post, fault: Fault, kind: str, happened: bool | None
) -> None:
    server.script("/refunds", fault)
    failed = failure(post, f"{server.url}/refunds")
    assert (failed.kind, failed.happened) == (kind, happened)


@pytest.mark.parametrize("post", CLIENTS)
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("", "transient", id="nobody listens"),
        pytest.param("http://nobody.invalid/", "transient", id="no such host"),
        pytest.param("gopher://127.0.0.1/", "bug", id="no such protocol"),
        pytest.param("refunds", "bug", id="no address"),
    ],
)
def test_what_never_left_this_machine_did_not_happen(post: Post, url: str, kind: str) -> None:
    failed = failure(post, url or refused_url())
    assert (failed.kind, failed.happened) == (kind, False)


@pytest.mark.parametrize("post", CLIENTS)
def test_an_answer_that_is_late_is_a_timeout_though_it_happened(server: FaultyServer, post: Post) -> None:
    server.script("/late", Answer(delay_s=TIMEOUT_S * 4))
    before = len(server.arrivals("/late"))
    assert failure(post, f"{server.url}/late").kind == "timeout"
    assert len(server.arrivals("/late")) == before + 1


def in_half_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(minutes=30), usegmt=True)


@pytest.mark.parametrize("post", CLIENTS)
@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"retry-after": "1.5"}, 1.5, 1.5),
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5, 1.5),
        ({"Retry-After": in_half_an_hour()}, 1, 1800),
        ({"Retry-After": "31536000"}, 3600, 3600),
    ],
    ids=["seconds", "decimals", "milliseconds", "date", "a year"],
)
def test_a_servers_wish_comes_through_every_client(
    server: FaultyServer, post: Post, headers: dict[str, str], least: float, most: float
) -> None:
    server.script("/busy", Answer(429, headers))
    wish = failure(post, f"{server.url}/busy").retry_after_s
    assert wish is not None
    assert least <= wish <= most


@pytest.mark.parametrize("post", CLIENTS)
@pytest.mark.parametrize("text", ["0", "-5", "nan", "soon", "Mon, 02 Nov 2020 03:04:05 GMT"])
def test_a_wish_that_makes_no_sense_is_none_through_every_client(server: FaultyServer, post: Post, text: str) -> None:
    server.script("/busy", Answer(503, {"Retry-After": text}))
    failed = failure(post, f"{server.url}/busy")
    assert (failed.kind, failed.retry_after_s) == ("transient", None)


@pytest.mark.parametrize("post", CLIENTS)
def test_an_error_of_ten_megabytes_leaves_a_short_message(server: FaultyServer, post: Post) -> None:
    server.script("/huge", huge(500))
    failed = failure(post, f"{server.url}/huge")
    assert len(failed.message) == MAX_MESSAGE
    assert failed.message.startswith("HTTP 500 Internal Server Error: xxx")


def stream_httpx2(url: str) -> Any:
    with httpx2.Client() as client, client.stream("POST", url) as response:
        response.raise_for_status()


def stream_httpx(url: str) -> Any:
    with httpx.Client() as client, client.stream("POST", url) as response:
        response.raise_for_status()


def stream_requests(url: str) -> Any:
    with requests.Session() as session, session.post(url, stream=True, timeout=TIMEOUT_S) as response:
        response.raise_for_status()


def open_urllib(url: str) -> Any:
    try:
        urllib.request.urlopen(url, data=b"{}", timeout=TIMEOUT_S).close()
    except OSError as error:
        # The error is a response too, and holds a socket.
        getattr(error, "close", lambda: None)()
        raise


@pytest.mark.parametrize("stream", [stream_httpx2, stream_httpx, stream_requests, open_urllib])
def test_a_body_that_nobody_read_is_not_read_for_its_message(server: FaultyServer, stream: Post) -> None:
    server.script("/huge", Answer(503, {"Retry-After": "2"}, b"x" * (10 << 20)))
    failed = failure(stream, f"{server.url}/huge")
    assert failed == Failed("transient", "HTTP 503 Service Unavailable", False, status=503, retry_after_s=2.0)


@pytest.mark.parametrize(
    ("url", "kind", "happened"),
    [
        pytest.param("", "transient", False, id="nobody listens"),
        pytest.param("http://nobody.invalid/", "transient", False, id="no such host"),
        pytest.param("/cut", "transient", None, id="cut"),
        pytest.param("/hang", "timeout", None, id="hang"),
    ],
)
def test_the_standard_librarys_client_is_known_too(
    server: FaultyServer, url: str, kind: str, happened: bool | None
) -> None:
    server.script("/cut", Cut())
    server.script("/hang", Hang())
    failed = failure(open_urllib, server.url + url if url.startswith("/") else url or refused_url())
    assert (failed.kind, failed.happened) == (kind, happened)


def test_a_proxy_that_nobody_runs_was_never_asked() -> None:
    proxies = {"http": refused_url()}
    with requests.Session() as session, pytest.raises(requests.exceptions.ProxyError) as caught:
        session.post("http://nobody.invalid/", proxies=proxies, timeout=TIMEOUT_S)
    failed = classify_error(caught.value, now=datetime.now(UTC))
    assert (failed.kind, failed.happened) == ("transient", False)


@pytest.mark.parametrize("package", [httpx2, httpx], ids=lambda package: package.__name__)
def test_a_pool_of_the_clients_own_that_is_full_sent_nothing(server: FaultyServer, package: Any) -> None:
    limits = package.Limits(max_connections=1)
    with (
        package.Client(timeout=package.Timeout(5, pool=0.05), limits=limits) as client,
        client.stream("GET", f"{server.url}/first"),
        pytest.raises(package.PoolTimeout) as caught,
    ):
        client.get(f"{server.url}/second")
    failed = classify_error(caught.value, now=datetime.now(UTC))
    assert (failed.kind, failed.happened) == ("timeout", False)
    assert server.arrivals("/second") == []
