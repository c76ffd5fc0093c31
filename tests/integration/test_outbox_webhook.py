"""Webhooks reach a real server, signed, and nothing else than the address that was judged."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from standardwebhooks import Webhook

from agentflow.domain.delivery import Delivery
from agentflow.domain.errors import ToolError
from agentflow.domain.outcome import Failed
from agentflow.outbox.signing import Signer
from agentflow.outbox.webhook import WebhookSender
from agentflow.policy.addresses import PrivateReach
from agentflow.policy.taxonomy import classify_error
from tests.integration.faulty import Answer, Cut, CutWithin, FaultyServer, Hang, refused_url
from tests.integration.post_office import Authority

OLD, NEW = (f"whsec_{base64.b64encode(bytes([byte]) * 32).decode()}" for byte in (1, 2))
LOOPBACK = "127.0.0.0/8, ::1/128"
MESSAGE_ID = "0190c3a4-1111-7222-8333-000000000001"


def a_webhook(url: str, payload: object = None, **more: object) -> Delivery:
    return Delivery(MESSAGE_ID, "default", "run", 1, 0, "webhook", {"url": url, "payload": payload, **more}, 1)


def a_sender(
    private: str = LOOPBACK,
    *,
    secrets: str = NEW,
    timeout_s: float = 10.0,
    names: dict[str, list[str]] | None = None,
    tls: ssl.SSLContext | None = None,
) -> WebhookSender:
    """A sender whose resolver knows `names`; the system's where none are given."""
    look_up: dict[str, Callable[[str, int], list[str]]] = {}
    if names is not None:
        look_up["look_up"] = lambda host, _: names[host]
    return WebhookSender(Signer.read(secrets), PrivateReach.read(private), timeout_s=timeout_s, tls=tls, **look_up)


def failure_of(sender: WebhookSender, delivery: Delivery) -> Failed:
    """The failure that a delivery is, as the relay classifies it."""
    with pytest.raises((ToolError, httpx2.HTTPError)) as caught:
        sender.deliver(delivery)
    return classify_error(caught.value, now=datetime.now(UTC))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def test_a_webhook_arrives_signed_and_its_answer_is_kept(server: FaultyServer) -> None:
    server.script("/hook", Answer(202, {"Content-Type": "text/plain"}, "thanks"))
    payload = {"event": "refunded", "note": "für 5 €\x00 😀", "cents": [500, None, 1.5]}

    kept = a_sender().deliver(a_webhook(f"{server.url}/hook?a=b", payload, headers={"Authorization": "Bearer x"}))

    (arrival,) = server.arrivals("/hook")
    assert Webhook(NEW).verify(arrival.body, dict(arrival.headers)) == payload
    assert arrival.headers["webhook-id"] == MESSAGE_ID
    assert (arrival.headers["content-type"], arrival.headers["authorization"]) == ("application/json", "Bearer x")
    assert kept == {"status": 202, "body": "thanks", "headers": {"content-type": "text/plain"}}


def test_while_secrets_change_a_receiver_may_have_either(server: FaultyServer) -> None:
    a_sender(secrets=f"{OLD}, {NEW}").deliver(a_webhook(server.url + "/hook", [1]))

    (arrival,) = server.arrivals("/hook")
    assert [Webhook(secret).verify(arrival.body, dict(arrival.headers)) for secret in (OLD, NEW)] == [[1], [1]]


def test_without_a_secret_nothing_is_sent(server: FaultyServer) -> None:
    failure = failure_of(WebhookSender(None, PrivateReach.read(LOOPBACK), timeout_s=1), a_webhook(server.url + "/hook"))

    assert (failure.kind, failure.happened, server.arrivals("/hook")) == ("auth", False, [])
    assert "set AGENTFLOW_WEBHOOK_SECRET" in failure.message


@pytest.mark.parametrize(
    ("answer", "kind", "happened", "retry_after_s"),
    [
        (Answer(410), "bad_input", False, None),
        (Answer(401), "auth", False, None),
        (Answer(429, {"Retry-After": "7"}), "rate_limited", False, 7.0),
        (Answer(503, {"Retry-After": "9"}), "transient", False, 9.0),
        (Answer(500, body="boom"), "transient", None, None),
        (Cut(), "transient", None, None),
        (Cut(reset=True), "transient", None, None),
        (Hang(), "timeout", None, None),
        (Answer(200, delay_s=30), "timeout", None, None),
    ],
)
def test_what_goes_wrong_is_classified_as_a_tools_failure_is(
    server: FaultyServer, answer: Answer, kind: str, happened: bool | None, retry_after_s: float | None
) -> None:
    server.script("/hook", answer)
    failure = failure_of(a_sender(timeout_s=0.5), a_webhook(server.url + "/hook"))

    assert (failure.kind, failure.happened, failure.retry_after_s) == (kind, happened, retry_after_s)
    assert len(server.arrivals("/hook")) == 1


def test_a_server_that_is_not_there_certainly_did_nothing() -> None:
    failure = failure_of(a_sender(), a_webhook(refused_url()))

    assert (failure.kind, failure.happened) == ("transient", False)


def test_a_yes_whose_body_breaks_off_is_a_yes(server: FaultyServer) -> None:
    server.script("/hook", CutWithin())

    assert a_sender().deliver(a_webhook(server.url + "/hook"))["status"] == 200


def test_of_a_huge_answer_two_kilobytes_are_kept(server: FaultyServer) -> None:
    server.script("/hook", Answer(200, {"Content-Type": "text/plain"}, b"x" * 100_000))

    assert a_sender().deliver(a_webhook(server.url + "/hook"))["body"] == "x" * 2048


def test_a_redirect_is_not_followed(server: FaultyServer) -> None:
    server.script("/hook", Answer(307, {"Location": f"{server.url}/metadata"}))
    failure = failure_of(a_sender(), a_webhook(server.url + "/hook"))

    assert (failure.kind, failure.happened, failure.status) == ("bad_input", False, 307)
    assert f"redirect to '{server.url}/metadata'" in failure.message
    assert server.arrivals("/metadata") == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["fe80::1%lo"],
        ["8.8.8.8", "127.0.0.1"],
    ],
    ids=",".join,
)
def test_a_name_that_resolves_to_a_private_address_is_not_called(server: FaultyServer, addresses: list[str]) -> None:
    sender = a_sender("", names={"hooks.example.com": addresses})
    failure = failure_of(sender, a_webhook(f"http://hooks.example.com:{server.server_port}/hook"))

    assert (failure.kind, failure.happened, server.arrivals("/hook")) == ("bad_input", False, [])
    assert f"'hooks.example.com' resolves to {ip_address(addresses[-1])}, a private address" in failure.message


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "0"])
def test_no_way_to_write_this_machine_gets_by(server: FaultyServer, host: str) -> None:
    # With a network allowed, so that `localhost` goes on to the system's resolver.
    failure = failure_of(a_sender("10.0.0.0/8"), a_webhook(f"http://{host}:{server.server_port}/hook"))

    assert (failure.kind, failure.happened, server.arrivals("/hook")) == ("bad_input", False, [])
    assert "private address" in failure.message


@pytest.mark.parametrize("private", ["127.0.0.0/8", "10.0.0.0/8, crm"])
def test_what_an_operator_allows_is_called(server: FaultyServer, private: str) -> None:
    a_sender(private, names={"crm": ["127.0.0.1"]}).deliver(a_webhook(f"http://crm:{server.server_port}/hook"))

    (arrival,) = server.arrivals("/hook")
    assert arrival.headers["host"] == f"crm:{server.server_port}"


def test_a_name_is_looked_up_once_and_the_address_that_was_judged_is_called(server: FaultyServer) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    sender = WebhookSender(
        Signer.read(NEW), PrivateReach.read("127.0.0.1/32"), timeout_s=5, look_up=lambda *_: next(answers)
    )
    sender.deliver(a_webhook(f"http://hooks.example.com:{server.server_port}/hook"))

    assert len(server.arrivals("/hook")) == 1
    assert next(answers) == ["127.0.0.2"]


def test_the_next_address_is_tried_where_one_takes_no_connection(server: FaultyServer) -> None:
    sender = a_sender(names={"hooks.example.com": ["::1", "127.0.0.1"]})
    sender.deliver(a_webhook(f"http://hooks.example.com:{server.server_port}/hook"))

    assert len(server.arrivals("/hook")) == 1


def test_a_server_has_to_show_the_certificate_of_its_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "hooks.example.com")
    trusting = ssl.create_default_context(cafile=authority.file)
    names = {name: ["127.0.0.1"] for name in ("hooks.example.com", "other.example.com")}
    server = FaultyServer()
    server.socket = authority.server.wrap_socket(server.socket, server_side=True)
    with server:
        sender = a_sender(names=names, tls=trusting)
        kept = sender.deliver(a_webhook(f"https://hooks.example.com:{server.server_port}/hook"))
        failure = failure_of(sender, a_webhook(f"https://other.example.com:{server.server_port}/hook"))

    assert (kept["status"], failure.kind, failure.happened) == (200, "bug", False)
    assert len(server.arrivals("/hook")) == 1


def test_proxies_of_the_environment_are_not_used(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, refused_url())

    assert a_sender().deliver(a_webhook(server.url + "/hook"))["status"] == 200


def test_a_cookie_is_not_carried_to_the_next_receiver(server: FaultyServer) -> None:
    server.script("/hook", Answer(200, {"Set-Cookie": "session=1; Path=/"}))
    sender = a_sender()
    for _ in range(2):
        sender.deliver(a_webhook(server.url + "/hook"))

    assert ["cookie" in arrival.headers for arrival in server.arrivals("/hook")] == [False, False]


def test_a_server_that_trickles_is_left_when_the_time_is_over() -> None:
    with trickling() as url:
        began = time.monotonic()
        failure = failure_of(a_sender(timeout_s=0.5), a_webhook(url))

    assert (failure.kind, failure.happened) == ("timeout", None)
    assert time.monotonic() - began < 5


@contextmanager
def trickling() -> Iterator[str]:
    """A server whose answer never comes to its end, and never stops."""

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
            try:
                while not done.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                pass  # the client left

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        done.set()
        thread.join()


def test_every_attempt_sends_the_same_bytes_under_the_same_id(server: FaultyServer) -> None:
    delivery = a_webhook(server.url + "/hook", json.loads('{"b": 1, "a": [2]}'))
    for _ in range(2):
        a_sender().deliver(delivery)

    first, second = server.arrivals("/hook")
    assert first.body == second.body == b'{"b":1,"a":[2]}'
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
