from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agentflow.domain.errors import ToolError
from agentflow.policy.addresses import PrivateReach
from agentflow.policy.delivering import Mailbox, check_email, check_webhook, read_mailbox

EMAIL = {"to": "ann@example.com", "subject": "Hello", "body": "Hello\nAnn"}
WEBHOOK = {"url": "https://hooks.example.com/x", "payload": {}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"html": "<b>\n</b>", "reply_to": "Help <help@example.com>", "from": "bot@example.com"},
        {"subject": "Grüße 😀: =?utf-8?q?x?="},
        {"subject": "", "body": "\x00"},
        {"html": None, "reply_to": None},
    ],
)
def test_an_email_that_can_be_sent_is_taken(more: dict[str, Any]) -> None:
    check_email(EMAIL | more)


@pytest.mark.parametrize("field", ["to", "subject", "reply_to", "from"])
@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\x00", "\t", "\x0b", "\x1b", "\x7f", "\x85", "\u2028"])
def test_no_header_holds_a_control_character(field: str, character: str) -> None:
    for text in (f"ann@example.com{character}Bcc: eve@example.com", f"ann@example.com{character}"):
        refusal = refusal_of(check_email, EMAIL | {field: text})
        assert f"the e-mail's {field!r} holds a line break or a control character" in refusal


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"to": "ann@example.com, bob@example.com"}, "give one address"),
        ({"to": "team: ann@example.com;"}, "give one address"),
        ({"to": "ann"}, "give one address"),
        ({"to": ""}, "give one address"),
        ({"to": "ann@example.com> SIZE=1"}, "give one address"),
        ({"to": "ann@exa mple.com"}, "give one address"),
        ({"to": "ann..b@example.com"}, "give one address"),
        ({"to": '"x" <ann@example.com> eve@example.com'}, "give one address"),
        ({"to": "a" * 400 + "@example.com"}, "at most 320"),
        ({"subject": "x" * 901}, "at most 900"),
        ({"subject": 5}, "'subject' is a int; give text"),
        ({"subject": None}, "'subject' is a NoneType; give text"),
        ({"to": ["ann@example.com"]}, "'to' is a list; give text"),
        ({"cc": "bob@example.com"}, "no field 'cc'; there are to, subject, body, html, reply_to, from"),
    ],
)
def test_an_email_that_cannot_be_sent_is_refused_with_the_reason(more: dict[str, Any], says: str) -> None:
    assert says in refusal_of(check_email, EMAIL | more)


def test_an_email_without_a_body_is_refused() -> None:
    assert "has no 'body'" in refusal_of(check_email, {"to": "ann@example.com", "subject": "x"})


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("ann@example.com", Mailbox("", "ann", "example.com")),
        (" <ann@example.com> ", Mailbox("", "ann", "example.com")),
        ("Ann <ann@example.com>", Mailbox("Ann", "ann", "example.com")),
        ('"B., Ann" <ann+x@example.com>', Mailbox("B., Ann", "ann+x", "example.com")),
        ("Dr. Änne O'Brien <änne@bücher.example>", Mailbox("Dr. Änne O'Brien", "änne", "bücher.example")),
        ("ann@[192.0.2.1]", Mailbox("", "ann", "[192.0.2.1]")),
    ],
)
def test_an_address_is_read_with_the_name_before_it(text: str, mailbox: Mailbox) -> None:
    assert read_mailbox("to", text) == mailbox


@given(some.text(max_size=60))
def test_whatever_an_address_is_made_of_it_is_one_or_refused(text: str) -> None:
    try:
        found = read_mailbox("to", f"ann{text}@example.com")
    except ToolError:
        return
    assert not set(found.address) & set("<>, \r\n\x00")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"payload": None},
        {"url": "http://8.8.8.8:8080/x?y#z"},
        {"url": "https://[2606:4700::1111]/"},
        {"url": "https://bücher.example/"},
        {"headers": {"Authorization": "Bearer x", "X-Shop": "7"}},
        {"headers": None},
    ],
)
def test_a_webhook_that_can_be_sent_is_taken(more: dict[str, Any]) -> None:
    check_webhook(WEBHOOK | more)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.com/", "write it as https://"),
        ("file:///etc/passwd", "write it as https://"),
        ("//example.com/", "write it as https://"),
        ("example.com", "write it as https://"),
        ("http:///x", "write it as https://"),
        ("http://example.com:0/", "write it as https://"),
        ("http://example.com:99999/", "write it as https://"),
        ("http://[::1/", "write it as https://"),
        ("http://example.com\\@127.0.0.1/", "write it as https://"),
        ("http://example.com/ x", "write it as https://"),
        ("http://exa\nmple.com/", "line break"),
        ("http://example.com/" + "x" * 2048, "at most 2048"),
        ("http://1.2.3.4.5/", "neither a name nor an address"),
        (7, "must be text"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: Any, says: str) -> None:
    assert says in refusal_of(check_webhook, WEBHOOK | {"url": url})


@pytest.mark.parametrize(
    "url", ["http://agent:s3cret@example.com/", "http://s3cret@example.com/", "http://@example.com/"]
)
def test_a_url_with_a_user_is_refused_and_not_repeated(url: str) -> None:
    refusal = refusal_of(check_webhook, WEBHOOK | {"url": url})

    assert "names a user" in refusal
    assert "s3cret" not in refusal


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f.1", "017700000001", "2130706433", "10.0.0.1", "169.254.169.254", "100.64.0.1",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[64:ff9b::10.0.0.1]", "[fe80::1%25lo]", "[2002:7f00:1::]",
        "localhost", "LOCALHOST.", "shop.localhost",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_when_it_is_queued(host: str) -> None:
    assert "is a private address" in refusal_of(check_webhook, WEBHOOK | {"url": f"http://{host}:8080/x"})


def test_a_private_address_that_is_allowed_is_taken() -> None:
    for url in ("http://10.0.0.1/", "http://localhost/"):
        check_webhook(WEBHOOK | {"url": url}, PrivateReach.read("10.0.0.0/8, localhost"))


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Host": "example.com"}, "is set by agentflow"),
        ({"CONTENT-LENGTH": "3"}, "is set by agentflow"),
        ({"webhook-id": "1"}, "is set by agentflow"),
        ({"x": "a\r\nb: c"}, "printable ASCII"),
        ({"x": "ü"}, "printable ASCII"),
        ({"x y": "a"}, "can't be sent"),
        ({"": "a"}, "can't be sent"),
        ({"x": 5}, "can't be sent"),
        ([("x", "y")], "text by name"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(headers: Any, says: str) -> None:
    assert says in refusal_of(check_webhook, WEBHOOK | {"headers": headers})


def refusal_of(check: Any, payload: Any) -> str:
    with pytest.raises(ToolError) as caught:
        check(payload)
    assert (caught.value.kind, caught.value.happened) == ("bad_input", False)
    return str(caught.value)
